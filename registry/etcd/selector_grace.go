package etcd

import (
	"maps"
	"slices"
	"time"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// This file is about nodes that went in a mass: more than half of a service in a short time. Whoever
// asks etcd or this registry is told that they are gone. Only selectors with [Grace] may go on choosing among them.

const (
	// massTime is how close to each other nodes must have gone.
	massTime = 10 * time.Second
	// maxLosses bounds how many nodes of a service are remembered.
	maxLosses = 4096
	// minMass is how many nodes a service must have had.
	minMass = 4
)

// losses are the records that went lately, by service and key.
type losses map[string]map[string]*loss

type loss struct {
	record *catalogue.Record
	at     time.Time
	left   int  // nodes that the service had left then
	massed bool // went with more than half of them
}

// note takes in changes of a catalogue, if anybody grants grace.
func (l losses) note(changes []catalogue.Change, c *catalogue.Catalogue, grace int64) {
	if grace == 0 {
		return
	}
	now := time.Now()
	for _, change := range changes {
		r := change.Record
		if change.Action != catalogue.Delete {
			delete(l[r.Name], r.Key)
			continue
		}
		if l[r.Name] == nil {
			l[r.Name] = make(map[string]*loss)
		}
		if len(l[r.Name]) == maxLosses {
			continue
		}
		l[r.Name][r.Key] = &loss{record: r, at: now, left: c.Size(r.Name)}
	}
}

// giveUp forgets a record: it was our own doing that it went, or it is known to be really gone.
func (l losses) giveUp(key string) {
	for _, ofService := range l {
		delete(ofService, key)
	}
}

// of returns those of a service that have grace, the oldest first: unless they are fewer than what it
// has left now.
func (l losses) of(service string, left int, grace time.Duration) []*loss {
	all := slices.SortedFunc(maps.Values(l[service]), func(a, b *loss) int { return a.at.Compare(b.at) })
	findMass(all)
	now := time.Now()
	all = slices.DeleteFunc(all, func(one *loss) bool { return !one.massed || now.Sub(one.at) >= grace })
	if len(all) <= left {
		return nil
	}
	return all
}

// findMass marks those that went in a mass. They come sorted by time.
func findMass(all []*loss) {
	first, unmarked := 0, 0
	for i, one := range all {
		for one.at.Sub(all[first].at) > massTime {
			first++
		}
		n := i + 1 - first
		if n <= one.left || n+one.left < minMass {
			continue
		}
		for unmarked = max(unmarked, first); unmarked <= i; unmarked++ {
			all[unmarked].massed = true
		}
	}
}

// sweep forgets those that can't have grace any more.
func (l losses) sweep(grace time.Duration) {
	for service, ofService := range l {
		l.of(service, 0, grace) // which finds the masses
		now := time.Now()
		maps.DeleteFunc(ofService, func(_ string, one *loss) bool {
			age := now.Sub(one.at)
			return age > massTime && !one.massed || one.massed && age >= grace
		})
		if len(ofService) == 0 {
			delete(l, service)
		}
	}
}
