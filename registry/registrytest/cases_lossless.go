package registrytest

import (
	"fmt"
	"math/rand"
	"strings"

	"go-micro.dev/v4/registry"
)

func losslessCases() []Case {
	return []Case{{
		Name:  "lossless/burst",
		Rule:  "of many nodes registered and deregistered at the same moment, each arrives",
		Needs: needs(Lossless),
		body:  burstArrives,
	}, {
		Name:  "lossless/one-register",
		Rule:  "of many nodes in one Register and one Deregister, each arrives",
		Needs: needs(Lossless),
		body:  manyNodesArrive,
	}, {
		Name:  "lossless/slow-consumer",
		Rule:  "a consumer that first sleeps through thousands of events still ends up with the truth",
		Needs: needs(Lossless),
		body:  slowConsumer,
	}, {
		Name:  "lossless/flapping",
		Rule:  "a node that comes and goes quickly ends up as it was left",
		Needs: needs(Lossless),
		body:  flappingNode,
	}, {
		Name:  "lossless/version-fields",
		Rule:  "when what a version says about itself changes because a node left, watchers learn it",
		Needs: needs(Lossless, WholeRecord),
		body:  versionFieldsFollow,
	}, {
		Name:  "lossless/model",
		Rule:  "under random operations lookups equal a model, and what Next returned, folded over the first lookup, equals the last one in every field",
		Needs: needs(Lossless, WholeRecord),
		body:  randomOperations,
	}}
}

// crowd makes a service with n nodes.
func crowd(name string, n int) *registry.Service {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("n%04d", i)
	}
	return sample(name, "1", ids...)
}

func (s *stream) awaitCrowd(action string, want *registry.Service) {
	s.env.eventually(action+" of each node", func() string {
		seen := s.nodes(action)
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

func burstArrives(e *env) {
	p := e.open()
	for round := range 2 {
		s := crowd(e.name(fmt.Sprintf("greeter%d", round)), 300)
		events := p.follow(s.Name)
		e.each(len(s.Nodes), func(i int) { p.register(only(s, s.Nodes[i].Id)) })
		events.awaitCrowd(present, s)
		e.each(len(s.Nodes), func(i int) { p.deregister(only(s, s.Nodes[i].Id)) })
		events.awaitCrowd("delete", s)
		p.finds(s.Name)
	}
}

func manyNodesArrive(e *env) {
	p := e.open()
	s := crowd(e.name("greeter"), 100)
	events := p.follow(s.Name)
	p.register(s)
	events.awaitCrowd(present, s)
	p.deregister(s)
	events.awaitCrowd("delete", s)
}

func slowConsumer(e *env) {
	p := e.open()
	name := e.name("greeter")
	stays := sample(name, "1", "stays")
	p.register(stays)
	p.find(name)
	events := p.watchUnread(registry.WatchService(name))
	events.view.reset([]*registry.Service{stays})
	const workers, rounds = 20, 40
	e.each(workers, func(w int) {
		for r := range rounds {
			p.register(sample(name, "1", fmt.Sprintf("w%dr%d", w, r)))
		}
	})
	e.each(workers*rounds, func(i int) { // most of them leave at one moment
		if i%5 != 0 {
			p.deregister(sample(name, "1", fmt.Sprintf("w%dr%d", i%workers, i/workers)))
		}
	})
	events.read()
	e.eventually("the folded results", func() string { return events.folded(p.find(name)) })
}

func flappingNode(e *env) {
	p := e.open()
	s := sample(e.name("greeter"), "1", "n1")
	events := p.follow(s.Name)
	for range 3 {
		for range 40 {
			p.register(s)
			p.deregister(s)
		}
		p.register(s)
		e.eventually("the folded results", func() string { return events.folded([]*registry.Service{s}) })
		p.deregister(s)
		e.eventually("the folded results", func() string { return events.folded(nil) })
	}
}

func versionFieldsFollow(e *env) {
	p := e.open()
	before := sample(e.name("greeter"), "1", "n1")
	after := with(sample(before.Name, "1", "n2"), func(s *registry.Service) {
		s.Metadata = map[string]string{"team": "red"}
		s.Endpoints = s.Endpoints[1:]
	})
	events := p.follow(before.Name)
	agree := func() string { return events.folded(p.find(before.Name)) }
	p.register(before)
	e.eventually("the folded results after the first node", agree)
	p.register(after)
	e.eventually("the folded results after the second node", agree)
	p.deregister(after)
	e.eventually("the folded results after the second node left", agree)
	p.finds(before.Name, before)
}

// randomOperations drives up to three processes, each with nodes of its own.
func randomOperations(e *env) {
	rng := rand.New(rand.NewSource(e.backend.Seed)) //nolint:gosec // has to be repeatable
	m := &model{env: e, name: e.name("greeter"), nodes: map[string]*registry.Service{}}
	m.actors = []*process{e.open()}
	if e.backend.lacks(needs(Shared)) == "" {
		m.actors = append(m.actors, e.open(), e.open())
	}
	for _, p := range m.actors {
		m.streams = append(m.streams, p.follow(m.name))
	}
	for step := range 300 {
		m.step(rng, step)
		if step%50 == 49 {
			m.agree(fmt.Sprintf("seed %d, step %d", e.backend.Seed, step))
		}
	}
}

// model is what random operations should have come to.
type model struct {
	env     *env
	name    string
	actors  []*process
	streams []*stream
	nodes   map[string]*registry.Service // by node id: the last registration
}

// step does one operation, and checks that its process sees it.
func (m *model) step(rng *rand.Rand, step int) {
	i := rng.Intn(len(m.actors))
	id := fmt.Sprintf("p%dn%d", i, rng.Intn(6))
	if last := m.nodes[id]; last != nil && rng.Intn(3) == 0 {
		m.actors[i].deregister(last)
		delete(m.nodes, id)
	} else {
		s := sample(m.name, fmt.Sprint(rng.Intn(3)), id)
		s.Nodes[0].Address = fmt.Sprintf("10.5.0.%d:80", rng.Intn(4))
		s.Nodes[0].Metadata["load"] = fmt.Sprint(rng.Intn(3))
		s.Metadata["build"] = fmt.Sprint(rng.Intn(3))
		m.actors[i].register(s)
		m.nodes[id] = s
	}
	want, got := m.place(id), placed(m.actors[i].find(m.name))[id]
	if got != want {
		m.env.fatalf("seed %d, step %d: after its own write process %d finds node %s as %q, not %q",
			m.env.backend.Seed, step, i, id, got, want)
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
		m.env.eventually(fmt.Sprintf("%s: process %d", when, i), func() string {
			found := p.find(m.name)
			if got := placed(found); fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Sprintf("finds %v, not %v", got, want)
			}
			return m.streams[i].folded(found)
		})
	}
}

// placed describes each node with its version; several versions at a time
// show as several descriptions. What a version says about itself is left out:
// with several nodes it is the registry's choice whose word counts.
func placed(services []*registry.Service) map[string]string {
	nodes := map[string]string{}
	for _, s := range services {
		for _, n := range s.Nodes {
			own := &registry.Service{Version: s.Version, Nodes: []*registry.Node{n}}
			nodes[n.Id] += strings.ReplaceAll(text(own), "\n", ";")
		}
	}
	return nodes
}
