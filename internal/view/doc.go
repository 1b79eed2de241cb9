// Package view is the reading half of a registry: local views of what is in etcd, for lookups and watchers.
//
//	cache.go         the views that there are: one for each service that is used, or one of everything
//	view.go          one view: its state, and what its reflector tells it
//	apply.go         how events, lists and this process's own writes change it
//	read.go          what lookups and watchers get of it, which is a feed
//	linearizable.go  lookups that etcd's leader answers
//	cached.go        how a view outlives its process: what is written to its cache file, and how it starts from it
//	etcd.go          how etcd is read and watched
//	shared.go        what all views share: configuration, what was shown, what was malformed
//
// Lock order: Cache.mu, Feed.Mu, and then as in package feed. malformed.mu is taken last.
package view
