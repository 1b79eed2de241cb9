package feed

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// rec makes the record "name@version/id", whose profile and node both show a color.
func rec(spec string, revision int64, color string) *catalog.Record {
	service, id, _ := strings.Cut(spec, "/")
	name, version, _ := strings.Cut(service, "@")
	return &catalog.Record{
		Key: name + "/" + id, Revision: revision, Name: name, Version: version,
		Profile: &catalog.Profile{
			Metadata:  map[string]string{"color": color},
			Endpoints: []*catalog.Endpoint{{Name: color}},
		},
		Node: &catalog.Node{Id: id, Address: color},
	}
}

// stream is a catalog and the backlog of what happens to it.
type stream struct {
	catalog  *catalog.Catalog
	backlog  backlog
	revision int64
	looked   time.Time // of the last look
}

func newStream() *stream { return &stream{catalog: catalog.New(), revision: 10} }

func (f *stream) push(changes []catalog.Change) {
	f.backlog.push(changes, f.now(), f.catalog, f.seen)
}

// now is a clock that goes on with each change.
func (f *stream) now() time.Time { return time.Unix(f.revision, 0) }

func (f *stream) seen(_ string, came time.Time) bool { return !came.After(f.looked) }

func (f *stream) put(spec, color string) {
	f.revision++
	f.push(f.catalog.Put(rec(spec, f.revision, color)))
}

func (f *stream) delete(key string) {
	f.revision++
	f.push(f.catalog.Delete(key))
}

// look shows the catalog to a consumer.
func (f *stream) look() consumer {
	f.looked = f.now()
	return newConsumer(f.catalog.Snapshots())
}

// do takes steps: "+name@version/id color" puts, "-name/id" deletes, "look" looks.
func (f *stream) do(steps ...string) {
	for _, step := range steps {
		spec, color, _ := strings.Cut(step[1:], " ")
		switch step[0] {
		case '+':
			f.put(spec, color)
		case '-':
			f.delete(spec)
		default:
			f.look()
		}
	}
}

func (f *stream) compact() { f.backlog.compact(f.catalog, f.seen) }

// pending pops everything, as "action name@version/id profile/node".
func (f *stream) pending() []string {
	var lines []string
	for {
		c, ok := f.backlog.pop()
		if !ok {
			return lines
		}
		r := c.Record
		lines = append(lines, fmt.Sprintf(
			"%s %s@%s/%s %s/%s", c.Action, r.Name, r.Version, r.Node.Id, c.Profile.Metadata["color"], r.Node.Address,
		))
	}
}

func TestChangesComeOutInTheOrderTheyWentIn(t *testing.T) {
	f := newStream()
	_, ok := f.backlog.pop()
	require.False(t, ok)
	f.do("+a@1/x red", "+a@1/y blue", "+b@1/x red", "-a/x")
	require.Equal(t, []string{
		"create a@1/x red/red", "create a@1/y blue/blue", "create b@1/x red/red", "delete a@1/x red/red",
	}, f.pending())
	require.Empty(t, f.backlog.items)
	f.do("+a@1/z red")
	require.Len(t, f.pending(), 1)
}

func TestMergeTellsTheSumOfEachNode(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after []string // before the backlog, and in it
		want          []string
	}{
		{name: "nothing"},
		{
			"a create and its updates are one create", nil,
			[]string{"+a@1/x red", "+a@1/x blue", "+a@1/x green"},
			[]string{"create a@1/x green/green"},
		},
		{
			"updates are one update",
			[]string{"+a@1/x red"},
			[]string{"+a@1/x blue", "+a@1/x green"},
			[]string{"update a@1/x green/green"},
		},
		{
			"a node that came and went unseen is nothing", nil,
			[]string{"+a@1/x red", "+a@1/x blue", "-a/x"},
			nil,
		},
		{
			"a node that came, was shown and went is a delete", nil,
			[]string{"+a@1/x red", "look", "-a/x"},
			[]string{"delete a@1/x red/red"},
		},
		{
			"a node that came, was shown and changed is an update", nil,
			[]string{"+a@1/x red", "look", "+a@1/x blue"},
			[]string{"update a@1/x blue/blue"},
		},
		{
			"a lookup before the create doesn't count", nil,
			[]string{"look", "+a@1/x red", "-a/x"},
			nil,
		},
		{
			"a node that went is one delete",
			[]string{"+a@1/x red"},
			[]string{"+a@1/x blue", "-a/x", "+a@1/x green", "-a/x"},
			[]string{"delete a@1/x green/green"},
		},
		{
			"a node that went and came back is an update",
			[]string{"+a@1/x red"},
			[]string{"-a/x", "+a@1/x blue"},
			[]string{"update a@1/x blue/blue"},
		},
		{
			"a move is a delete, then an update",
			[]string{"+a@1/x red"},
			[]string{"+a@2/x blue"},
			[]string{"delete a@1/x red/red", "update a@2/x blue/blue"},
		},
		{
			"a move there and back leaves no ghost",
			[]string{"+a@1/x red"},
			[]string{"+a@2/x blue", "+a@1/x green"},
			[]string{"delete a@2/x blue/blue", "update a@1/x green/green"},
		},
		{
			"deletes come first",
			[]string{"+a@1/x red", "+b@1/x red"},
			[]string{"+a@1/y blue", "-a/x", "+c@1/z red", "-b/x"},
			[]string{"delete a@1/x red/red", "delete b@1/x red/red", "create a@1/y blue/blue", "create c@1/z red/red"},
		},
		{
			"updates carry the version's profile of now",
			[]string{"+a@1/x red", "+a@1/y red"},
			[]string{"+a@1/x blue", "+a@1/y green"},
			[]string{"update a@1/x green/blue", "update a@1/y green/green"},
		},
		{
			"who led the version and went gives way to who leads now",
			[]string{"+a@1/y red", "+a@1/x blue"},
			[]string{"-a/x"},
			[]string{"delete a@1/x blue/blue", "update a@1/y red/red"},
		},
		{
			"even if it came and went unseen",
			[]string{"+a@1/y red"},
			[]string{"+a@1/x blue", "-a/x"},
			[]string{"update a@1/y red/red"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newStream()
			f.do(c.before...)
			f.pending()
			f.look()
			f.do(c.after...)
			f.compact()
			once := slices.Clone(f.backlog.items)
			require.Equal(t, c.want, f.pending())
			f.backlog.items = once
			f.compact()
			require.Equal(t, c.want, f.pending(), "merging what is merged changes nothing")
		})
	}
}

func TestMergeCountsFromWhatWasReadAlready(t *testing.T) {
	f := newStream()
	f.do("+a@1/x red", "+a@1/y red")
	_, ok := f.backlog.pop() // x is known to the reader
	require.True(t, ok)
	f.do("-a/x", "-a/y")
	f.compact()
	require.Equal(t, []string{"delete a@1/x red/red"}, f.pending())
}

func TestAMergedNodeThatWasShownBeforeKeepsItsDelete(t *testing.T) {
	f := newStream()
	f.do("+a@1/x red", "look", "+a@1/x blue")
	f.compact()
	f.do("-a/x")
	f.compact()
	require.Equal(t, []string{"delete a@1/x blue/blue"}, f.pending())
}

func TestChurnWithoutReadingIsBoundedByTheNodes(t *testing.T) {
	const nodes = 1500
	for name, spec := range map[string]func(i int) string{
		"known nodes":             func(i int) string { return fmt.Sprint("a@", i%2, "/", i%nodes) },
		"always new nodes":        func(i int) string { return fmt.Sprint("a@1/", i) },
		"always new services":     func(i int) string { return fmt.Sprint("s", i, "@1/x") },
		"nodes of all versions":   func(i int) string { return fmt.Sprint("a@", i%7, "/", i%nodes) },
		"two services in a round": func(i int) string { return fmt.Sprint("s", i%2, "@1/", i%nodes) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newStream()
			start := f.look()
			longest, before := 0, make([]string, nodes)
			for i := range 12_000 {
				if old := before[i%nodes]; old != "" {
					name, id, _ := strings.Cut(old, "@")
					_, id, _ = strings.Cut(id, "/")
					f.delete(name + "/" + id)
				}
				before[i%nodes] = spec(i)
				f.put(before[i%nodes], "red")
				longest = max(longest, len(f.backlog.items))
			}
			require.LessOrEqual(t, longest, 4*nodes+minBacklog)
			for {
				c, ok := f.backlog.pop()
				if !ok {
					break
				}
				start.fold(c)
			}
			require.Equal(t, f.look().lines(), start.lines())
		})
	}
}
