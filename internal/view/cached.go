package view

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// This file is how a view outlives its process: what is in its cache file, and how it starts from there.

// answerTime is how long etcd may take to answer until a file is loaded, but no more than half of what a call may take.
const answerTime = time.Second

// loadUnlessListed lets a view start from a file if etcd doesn't answer in time, or can't be connected to. If there is
// none, one may come.
func (v *View) loadUnlessListed() {
	connector := v.shared.Connector
	for {
		v.awaitSilence()
		generation := connector.Generation()
		if v.needsFile() {
			if file := v.shared.Saver.Load(v.Context, connector.User(), v.Prefix); file != nil {
				v.startFrom(file, generation)
			}
		}
		if v.IsReady() || v.Context.Err() != nil {
			return
		}
		retry.Pause(v.Context, cachefile.SaveInterval, v.replaced)
	}
}

// awaitSilence waits until etcd has sent nothing for too long, or none of its addresses takes a connection.
func (v *View) awaitSilence() {
	for before := int64(-1); before != v.pages.Load() && v.Context.Err() == nil; {
		before = v.pages.Load()
		ctx, cancel := context.WithTimeout(v.Context, min(answerTime, v.shared.Timeout()/2))
		v.shared.Connector.AwaitDown(ctx)
		cancel()
	}
}

// needsFile reports whether there is nothing from etcd, not even a refusal: a file isn't for who may not read what is
// in it any more.
func (v *View) needsFile() bool {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	return v.needsFileLocked()
}

func (v *View) needsFileLocked() bool {
	return !v.IsReady() && v.Context.Err() == nil && !etcderr.IsAnswer(v.broken)
}

// startFrom shows what is in a file, until there is a list. That is a difference to it: of another history if its
// revision is lower than the file's. What this process has written itself is newer.
func (v *View) startFrom(file *cachefile.File, generation int64) {
	records, d := v.decodeList(&reflector.List{Kvs: file.Kvs})
	records = slices.AppendSeq(records, v.shared.Own)
	v.Mu.Lock()
	if !v.needsFileLocked() || generation != v.shared.Connector.Generation() {
		v.Mu.Unlock()
		return
	}
	v.decoder = d
	written := make(map[string]bool)
	for r := range v.Catalog.Records {
		written[r.Key] = true
	}
	var changes []catalog.Change
	for _, r := range records {
		if r != nil && strings.HasPrefix(r.Key, v.Prefix) && !written[r.Key] && v.deleted[r.Key] == 0 {
			changes = append(changes, v.Catalog.Restate(r)...)
		}
	}
	v.floor = file.Newest()
	v.newest = max(v.newest, v.floor)
	v.cached.Store(&file.AsOf)
	v.noteLocked(changes)
	v.PublishLocked(changes)
	v.Mu.Unlock()
	v.shared.Changed()
}

// AwaitList waits for the first list, as long as ctx lasts.
func (v *View) AwaitList(ctx context.Context) {
	select {
	case <-v.listed:
	case <-ctx.Done():
	}
}

// entry returns what has to be written of the view, if anything. It is for the user who has read it.
func (v *View) entry(dir cachefile.Dir) (cachefile.Entry, bool) {
	file, user, records := v.takeUnsaved(dir)
	if file == nil {
		return cachefile.Entry{}, false
	}
	file.SetRecords(records)
	return cachefile.Entry{Directory: v.Prefix, User: user, File: file, Failed: v.setUnsaved}, true
}

// takeUnsaved returns the file that has to be written, without its contents, the user that it is for, and its records,
// which count as saved from then on. The file is nil if it is there already.
func (v *View) takeUnsaved(dir cachefile.Dir) (*cachefile.File, string, []*catalog.Record) {
	v.Mu.Lock()
	defer v.Mu.Unlock()
	current := v.shared.Connector.Current()
	if !v.IsReady() || v.IsCached() || current == nil || v.reader != current { // another user may have read it
		return nil, "", nil
	}
	file := &cachefile.File{AsOf: time.Now(), Cluster: v.cluster, Revision: v.applied}
	if since, err := v.staleLocked(); err != nil {
		file.AsOf = since
	}
	dir.User = current.User
	if v.saved.dir == dir && !v.unsaved && file.AsOf.Sub(v.saved.asOf) < cachefile.Refresh/2 {
		return nil, "", nil
	}
	v.unsaved, v.saved = false, savedAs{dir, file.AsOf}
	records := make([]*catalog.Record, 0, v.Catalog.Len())
	for r := range v.Catalog.Records {
		records = append(records, r)
	}
	return file, dir.User, records
}
