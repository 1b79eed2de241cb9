package dns

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/retry"
	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// Follower keeps a zone as etcd has it.
type Follower struct {
	Zone *Zone
	// Source is the registry in etcd, without a client.
	Source fleet.Source
	// Connect returns the client. It is called until there is no error.
	Connect fleet.Connect
	// Followed is told why etcd can't be followed, once, and again if it comes to refuse that. It is told nil when etcd is
	// followed, or is again.
	Followed func(error)
	// Cache is where what etcd has is kept for a start while it is away; without a path nowhere.
	Cache cachefile.Dir
	// Warnf logs what is wrong with the cache. It and Followed may be called at the same time.
	Warnf func(format string, args ...any)

	saver     *cachefile.Saver
	isUnsaved atomic.Bool // there is something that isn't in the file
	saved     time.Time   // up to when the file knows; of the saver's goroutine
	refused   atomic.Bool // by etcd, at the last attempt
	isLost    bool        // Followed was told so
}

// answerTime is how long etcd may take to answer until a file stands in, unless it can't be reached at all.
const answerTime = time.Second

// saveTime is how long Run waits for the disk at its end.
const saveTime = time.Second

// Run returns when ctx ends, after all that it has started has ended, but for a disk that hangs.
func (f *Follower) Run(ctx context.Context) {
	f.saver = cachefile.NewSaver(cachefile.SaverConfig{
		Dir:     func() cachefile.Dir { return f.Cache },
		Unsaved: f.unsaved,
		Changed: f.tellCache,
		Warnf:   f.Warnf,
	})
	f.saver.Start(ctx)
	silent := signal.New()
	var running sync.WaitGroup
	running.Go(func() {
		retry.Pause(ctx, answerTime, silent)
		f.load(ctx)
	})
	source := f.Source
	source.Client = fleet.Await(ctx, f.Connect, func(err error) { f.lost(err); silent.Send() })
	if source.Client != nil {
		_ = source.Follow(ctx, f.take) // ends only with ctx
	}
	running.Wait()
	saving, over := context.WithTimeout(context.Background(), saveTime)
	defer over()
	f.saver.Wait(saving)
}

func (f *Follower) take(events []fleet.Event) {
	f.Zone.Take(events)
	f.isUnsaved.Store(true)
	f.saver.Unsaved.Send()
	switch last := events[len(events)-1]; last.Kind {
	case fleet.Connected:
		f.isLost = false
		f.Followed(nil)
	case fleet.Disconnected:
		f.lost(last.Err)
	}
}

// lost is called for each attempt that fails, by the goroutine of Run.
func (f *Follower) lost(err error) {
	refused := etcderr.IsRefused(err)
	if before := f.refused.Swap(refused); !f.isLost || refused && !before {
		f.isLost = true
		f.Followed(err)
	}
}

// load lets the zone begin with what is in the file, if etcd hasn't answered. A file isn't for who is refused: he may
// not know any more what is in it.
func (f *Follower) load(ctx context.Context) {
	file := f.saver.Load(ctx, f.Cache.User, f.Cache.Prefix)
	if file == nil || f.refused.Load() {
		return
	}
	d := catalog.NewDecoder(f.Source.Keyspace())
	var all []*catalog.Record
	for _, kv := range file.Kvs {
		if r, err := d.Decode(string(kv.Key), kv.ModRevision, kv.Value); err == nil { // else it is malformed in etcd, too
			all = append(all, r)
		}
	}
	f.Zone.Load(file, all)
}

// unsaved yields what has to be written, if anything.
func (f *Follower) unsaved(cachefile.Dir) iter.Seq[cachefile.Entry] {
	return func(yield func(cachefile.Entry) bool) {
		changed := f.isUnsaved.Swap(false)
		file, records := f.Zone.contents(time.Now())
		if file == nil || !changed && file.AsOf.Sub(f.saved) < cachefile.Refresh/2 {
			return
		}
		f.saved = file.AsOf
		file.SetRecords(records)
		yield(cachefile.Entry{
			Directory: f.Cache.Prefix, User: f.Cache.User, File: file, Failed: func() { f.isUnsaved.Store(true) },
		})
	}
}

// contents returns what etcd has told as a file, without its records, and those. There is no file if it has told
// nothing.
func (z *Zone) contents(now time.Time) (*cachefile.File, []*catalog.Record) {
	z.writing.Lock()
	defer z.writing.Unlock()
	if !z.listed {
		return nil, nil
	}
	at := z.current()
	file := &cachefile.File{AsOf: now, Cluster: z.cluster, Revision: at.revision}
	if !at.stale.IsZero() {
		file.AsOf = at.stale
	}
	return file, slices.Collect(z.catalog.Records)
}

// tellCache says that the cache can't be used, or can be again.
func (f *Follower) tellCache() {
	if err := f.saver.Err(); err != nil {
		f.Warnf("what is registered can't be kept in %s: %v", f.Cache.Path, err)
	} else {
		f.Warnf("what is registered is kept in %s again", f.Cache.Path)
	}
}
