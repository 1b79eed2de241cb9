// Package feed shows a catalog to others: to lookups as snapshots, to watchers as what changes.
//
//	feed.go     one catalog, and who looks at it
//	source.go   a registry as selectors see it
//	shown.go    what lookups have shown lately, so that a later difference is told
//	watcher.go  what one watcher is told, in a backlog (backlog.go) of bounded size
//
// Lock order: Feed.Mu, Watcher.mu, Shown.mu.
package feed
