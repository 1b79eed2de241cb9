package cases

import (
	"fmt"
	"math/rand"
	"strings"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

func losslessCases() []Case {
	return []Case{{
		Name:  "lossless/burst",
		Rule:  "of many nodes registered and deregistered at the same moment, each arrives",
		Needs: needs(Lossless),
		Body:  burstArrives,
	}, {
		Name:  "lossless/one-register",
		Rule:  "of many nodes in one Register and one Deregister, each arrives",
		Needs: needs(Lossless),
		Body:  manyNodesArrive,
	}, {
		Name:  "lossless/slow-consumer",
		Rule:  "a consumer that first sleeps through thousands of events still ends up with the truth",
		Needs: needs(Lossless),
		Body:  slowConsumer,
	}, {
		Name:  "lossless/flapping",
		Rule:  "a node that comes and goes quickly ends up as it was left",
		Needs: needs(Lossless),
		Body:  flappingNode,
	}, {
		Name:  "lossless/version-fields",
		Rule:  "when what a version says about itself changes because a node left, watchers learn it",
		Needs: needs(Lossless, WholeRecord),
		Body:  versionFieldsFollow,
	}, {
		Name:  "lossless/model",
		Rule:  "under random operations lookups equal a model, and what Next returned, folded over the first lookup, equals the last one in every field",
		Needs: needs(Lossless, WholeRecord),
		Body:  randomOperations,
	}}
}

// openPatient opens a registry whose calls may take as long as the case: it is judged by whether all arrives, not by
// how soon a store takes hundreds of calls.
func openPatient(e *harness.Env) *harness.Process {
	return e.Open(registry.Timeout(e.Backend.CaseTimeout))
}

// large makes a service with n nodes.
func large(name string, n int) *registry.Service {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("n%04d", i)
	}
	return record.Sample(name, "1", ids...)
}

func awaitEach(e *harness.Env, events *harness.Stream, action string, want *registry.Service) {
	e.Eventually(action+" of each node", func() string {
		seen := events.Nodes(action)
		missing := 0
		for _, n := range want.Nodes {
			if seen[n.Id] == 0 {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Sprintf("%d of %d have not arrived", missing, len(want.Nodes))
		}
		return ""
	})
}

func burstArrives(e *harness.Env) {
	p := openPatient(e)
	for round := range 2 {
		s := large(e.Name(fmt.Sprintf("greeter%d", round)), 300)
		events := p.Follow(s.Name)
		e.Each(len(s.Nodes), func(i int) { p.Register(record.Only(s, s.Nodes[i].Id)) })
		awaitEach(e, events, harness.Present, s)
		e.Each(len(s.Nodes), func(i int) { p.Deregister(record.Only(s, s.Nodes[i].Id)) })
		awaitEach(e, events, "delete", s)
		p.Finds(s.Name)
	}
}

func manyNodesArrive(e *harness.Env) {
	p := openPatient(e)
	s := large(e.Name("greeter"), 100)
	events := p.Follow(s.Name)
	p.Register(s)
	awaitEach(e, events, harness.Present, s)
	p.Deregister(s)
	awaitEach(e, events, "delete", s)
}

func slowConsumer(e *harness.Env) {
	p := openPatient(e)
	name := e.Name("greeter")
	stays := record.Sample(name, "1", "stays")
	p.Register(stays)
	p.Find(name)
	events := p.WatchUnread(registry.WatchService(name))
	events.FoldOver([]*registry.Service{stays})
	const workers, rounds = 20, 40
	e.Each(workers, func(w int) {
		for r := range rounds {
			p.Register(record.Sample(name, "1", fmt.Sprintf("w%dr%d", w, r)))
		}
	})
	e.Each(workers*rounds, func(i int) { // most of them leave at one moment
		if i%5 != 0 {
			p.Deregister(record.Sample(name, "1", fmt.Sprintf("w%dr%d", i%workers, i/workers)))
		}
	})
	events.Read()
	e.Eventually("the folded results", func() string { return events.Differs(p.Find(name)) })
}

func flappingNode(e *harness.Env) {
	p := openPatient(e)
	s := record.Sample(e.Name("greeter"), "1", "n1")
	events := p.Follow(s.Name)
	for range 3 {
		for range 40 {
			p.Register(s)
			p.Deregister(s)
		}
		p.Register(s)
		e.Eventually("the folded results", func() string { return events.Differs([]*registry.Service{s}) })
		p.Deregister(s)
		e.Eventually("the folded results", func() string { return events.Differs(nil) })
	}
}

func versionFieldsFollow(e *harness.Env) {
	p := openPatient(e)
	before := record.Sample(e.Name("greeter"), "1", "n1")
	after := record.With(record.Sample(before.Name, "1", "n2"), func(s *registry.Service) {
		s.Metadata = map[string]string{"team": "red"}
		s.Endpoints = s.Endpoints[1:]
	})
	events := p.Follow(before.Name)
	agree := func() string { return events.Differs(p.Find(before.Name)) }
	p.Register(before)
	e.Eventually("the folded results after the first node", agree)
	p.Register(after)
	e.Eventually("the folded results after the second node", agree)
	p.Deregister(after)
	e.Eventually("the folded results after the second node left", agree)
	p.Finds(before.Name, before)
}

// randomOperations drives up to three processes, each with nodes of its own.
func randomOperations(e *harness.Env) {
	rng := rand.New(rand.NewSource(e.Backend.Seed)) //nolint:gosec // has to be repeatable
	m := &model{env: e, name: e.Name("greeter"), nodes: map[string]*registry.Service{}}
	m.actors = []*harness.Process{openPatient(e)}
	if !e.Backend.Alone {
		m.actors = append(m.actors, openPatient(e), openPatient(e))
	}
	for _, p := range m.actors {
		m.streams = append(m.streams, p.Follow(m.name))
	}
	for step := range 300 {
		m.step(rng, step)
		if step%50 == 49 {
			m.agree(fmt.Sprintf("seed %d, step %d", e.Backend.Seed, step))
		}
	}
}

// model is what random operations should have come to.
type model struct {
	env     *harness.Env
	name    string
	actors  []*harness.Process
	streams []*harness.Stream
	nodes   map[string]*registry.Service // by node id: the last registration
}

// step does one operation, and checks that its process sees it.
func (m *model) step(rng *rand.Rand, step int) {
	i := rng.Intn(len(m.actors))
	id := fmt.Sprintf("p%dn%d", i, rng.Intn(6))
	if last := m.nodes[id]; last != nil && rng.Intn(3) == 0 {
		m.actors[i].Deregister(last)
		delete(m.nodes, id)
	} else {
		s := record.Sample(m.name, fmt.Sprint(rng.Intn(3)), id)
		s.Nodes[0].Address = fmt.Sprintf("10.5.0.%d:80", rng.Intn(4))
		s.Nodes[0].Metadata["load"] = fmt.Sprint(rng.Intn(3))
		s.Metadata["build"] = fmt.Sprint(rng.Intn(3))
		m.actors[i].Register(s)
		m.nodes[id] = s
	}
	want, got := m.place(id), placed(m.actors[i].Find(m.name))[id]
	if got != want {
		m.env.Fatalf("seed %d, step %d: after its own write process %d finds node %s as %q, not %q",
			m.env.Backend.Seed, step, i, id, got, want)
	}
}

func (m *model) place(id string) string {
	if s := m.nodes[id]; s != nil {
		return placed([]*registry.Service{s})[id]
	}
	return ""
}

// agree waits until all lookups equal the model, and all streams the lookups.
func (m *model) agree(when string) {
	want := map[string]string{}
	for id := range m.nodes {
		want[id] = m.place(id)
	}
	for i, p := range m.actors {
		m.env.Eventually(fmt.Sprintf("%s: process %d", when, i), func() string {
			found := p.Find(m.name)
			if got := placed(found); fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Sprintf("finds %v, not %v", got, want)
			}
			return m.streams[i].Differs(found)
		})
	}
}

// placed describes each node with its version; several versions at a time show as several descriptions. What a version
// says about itself is left out: with several nodes it is the registry's choice whose word counts.
func placed(services []*registry.Service) map[string]string {
	nodes := map[string]string{}
	for _, s := range services {
		for _, n := range s.Nodes {
			own := &registry.Service{Version: s.Version, Nodes: []*registry.Node{n}}
			nodes[n.Id] += strings.ReplaceAll(record.Text(own), "\n", ";")
		}
	}
	return nodes
}
