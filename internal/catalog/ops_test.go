package catalog_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

type kind int

const (
	putOne kind = iota
	restateOne
	touch // restates an equal copy of one record, at another revision
	deleteOne
	relist    // restates equal copies of all records
	putAgain  // puts the very record that is there
	keepPoint // starts a consumer here
)

// The kinds of a byte's low bits: puts and deletes are what matters.
var kinds = [16]kind{
	putOne, putOne, putOne, putOne, putOne, restateOne, restateOne, touch,
	deleteOne, deleteOne, deleteOne, deleteOne, relist, putAgain, keepPoint, keepPoint,
}

// Few of each, so that they meet.
var (
	keys     = []string{"k1", "k2", "k3", "/s/a", "/s/b"}
	names    = []string{"s", "t"}
	versions = []string{"1", "2", "3"}
	ids      = []string{"a", "b", "c"}
	colors   = []string{"red", "blue", "green"}
)

// op is a step of the model.
type op struct {
	kind                            kind
	key, name, version, id, address string
	color                           int
	shared                          bool  // one profile pointer per color, or a new one
	look                            bool  // at the snapshots afterwards
	revision                        int64 // 0: the next; -1: that of the last transaction; else as it is
}

const opSize = 4

// decode reads ops from bytes. Any bytes will do.
func decode(data []byte) []op {
	var ops []op
	for ; len(data) >= opSize; data = data[opSize:] {
		b0, b1, b2, b3 := int(data[0]), int(data[1]), int(data[2]), int(data[3])
		o := op{
			kind:    kinds[b0%16],
			key:     keys[b0/16%len(keys)],
			name:    names[b1/128],
			id:      ids[b1/8%len(ids)],
			version: versions[b1%8%len(versions)],
			address: fmt.Sprintf(":%d", b2/16%3),
			color:   b2 % 8 % len(colors),
			shared:  b2 >= 128,
			look:    b3/32%2 == 1,
		}
		switch b3 / 64 {
		case 0: // backwards, as after a restore
			o.revision = int64(1 + b3%8)
		case 1: // one transaction
			o.revision = -1
		}
		ops = append(ops, o)
	}
	return ops
}

func (o op) String() string {
	switch o.kind {
	case putOne, restateOne:
		verb := map[kind]string{putOne: "put", restateOne: "restate"}[o.kind]
		return fmt.Sprintf("%s %s=%s@%s %s%s %s (shared %t) revision %d",
			verb, o.key, o.name, o.version, o.id, o.address, colors[o.color], o.shared, o.revision)
	case touch:
		return fmt.Sprintf("restate %s at revision %d", o.key, o.revision)
	case deleteOne:
		return "delete " + o.key
	case relist:
		return "relist"
	case putAgain:
		return "put the same " + o.key
	default:
		return "point"
	}
}

// apply takes the step on both sides. The changes are made of so many sequences that each have deletes first.
func (m *model) apply(o op) (changes []catalog.Change, sequences int) {
	old := m.oracle[o.key]
	switch o.kind {
	case deleteOne:
		delete(m.oracle, o.key)
		return m.catalog.Delete(o.key), 1
	case relist:
		for _, key := range slices.Sorted(maps.Keys(m.oracle)) {
			changes = append(changes, m.catalog.Restate(copyRecord(m.oracle[key]))...)
		}
		return changes, 1
	case touch:
		if old == nil {
			return nil, 1
		}
		again := copyRecord(old)
		again.Revision = m.nextRevision(o)
		m.restate(o.key, again)
		return m.catalog.Restate(again), 1
	case putAgain:
		if old == nil {
			return nil, 1
		}
		return m.catalog.Put(old), 1
	case keepPoint:
		m.startPoint()
		return nil, 1
	}

	r := m.record(o)
	sequences = 1
	if old != nil && old.Name == r.Name && old.Node.Id != r.Node.Id {
		sequences = 2
	}
	if o.kind == restateOne {
		m.restate(o.key, r)
		return m.catalog.Restate(r), sequences
	}
	m.oracle[o.key] = r
	return m.catalog.Put(r), sequences
}

// restate takes in a record that was read again, unless it is the known one.
func (m *model) restate(key string, r *catalog.Record) {
	old := m.oracle[key]
	if old == nil || old.Revision != r.Revision || old.Lease != r.Lease || !old.Equal(r) {
		m.oracle[key] = r
	}
}

func (m *model) record(o op) *catalog.Record {
	p := m.shared[o.color]
	if !o.shared {
		p = profile(colors[o.color])
	}
	return rec(o.key, m.nextRevision(o), o.name+"@"+o.version, o.id+"="+o.address, p)
}

func (m *model) nextRevision(o op) int64 {
	switch o.revision {
	case 0:
		m.revision++
		return m.revision
	case -1:
		return m.revision
	default:
		return o.revision
	}
}

func copyRecord(r *catalog.Record) *catalog.Record {
	s := r.Service()
	return &catalog.Record{
		Key: r.Key, Revision: r.Revision, Name: r.Name, Version: r.Version,
		Profile: &catalog.Profile{Metadata: s.Metadata, Endpoints: s.Endpoints},
		Node:    &catalog.Node{Id: r.Node.Id, Address: r.Node.Address, Metadata: s.Nodes[0].Metadata},
	}
}
