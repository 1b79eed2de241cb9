package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestRecordEqual(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*catalog.Record)
		equal  bool
	}{
		"nothing":         {func(*catalog.Record) {}, true},
		"key":             {func(r *catalog.Record) { r.Key = "x" }, true},
		"revision":        {func(r *catalog.Record) { r.Revision = 99 }, true},
		"name":            {func(r *catalog.Record) { r.Name = "x" }, false},
		"version":         {func(r *catalog.Record) { r.Version = "x" }, false},
		"profile":         {func(r *catalog.Record) { r.Profile = profile("x") }, false},
		"node id":         {func(r *catalog.Record) { r.Node.Id = "x" }, false},
		"node address":    {func(r *catalog.Record) { r.Node.Address = "x" }, false},
		"metadata value":  {func(r *catalog.Record) { r.Node.Metadata["address"] = "x" }, false},
		"metadata key":    {func(r *catalog.Record) { r.Node.Metadata["x"] = "x" }, false},
		"metadata is nil": {func(r *catalog.Record) { r.Node.Metadata = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, q := rec("k", 1, "s@1", "a=:1", profile("red")), rec("k", 1, "s@1", "a=:1", profile("red"))
			tt.change(q)
			require.Equal(t, tt.equal, r.Equal(q))
			require.Equal(t, tt.equal, q.Equal(r))
			require.True(t, q.Equal(q))
		})
	}
}

func TestProfileEqual(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*catalog.Profile)
		equal  bool
	}{
		"nothing":             {func(*catalog.Profile) {}, true},
		"metadata":            {func(p *catalog.Profile) { p.Metadata["color"] = "x" }, false},
		"no endpoints":        {func(p *catalog.Profile) { p.Endpoints = nil }, false},
		"one endpoint more":   {func(p *catalog.Profile) { p.Endpoints = append(p.Endpoints, &catalog.Endpoint{}) }, false},
		"endpoint name":       {func(p *catalog.Profile) { p.Endpoints[0].Name = "x" }, false},
		"endpoint metadata":   {func(p *catalog.Profile) { p.Endpoints[0].Metadata["x"] = "x" }, false},
		"no request":          {func(p *catalog.Profile) { p.Endpoints[0].Request = nil }, false},
		"request name":        {func(p *catalog.Profile) { p.Endpoints[0].Request.Name = "x" }, false},
		"request type":        {func(p *catalog.Profile) { p.Endpoints[0].Request.Type = "x" }, false},
		"request field":       {func(p *catalog.Profile) { p.Endpoints[0].Request.Values[0].Type = "x" }, false},
		"request has no more": {func(p *catalog.Profile) { p.Endpoints[0].Request.Values = nil }, false},
		"response name":       {func(p *catalog.Profile) { p.Endpoints[0].Response.Name = "x" }, false},
		"empty response fields": {func(p *catalog.Profile) {
			p.Endpoints[0].Response.Values = []*catalog.Value{}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, q := profile("red"), profile("red")
			tt.change(q)
			require.Equal(t, tt.equal, p.Equal(q))
			require.Equal(t, tt.equal, q.Equal(p))
		})
	}
	empty := &catalog.Profile{Metadata: map[string]string{}, Endpoints: []*catalog.Endpoint{}}
	require.True(t, empty.Equal(&catalog.Profile{}), "nil equals empty")
}

func TestHasOwnKey(t *testing.T) {
	for _, tt := range []struct {
		key, name, id string
		own           bool
	}{
		{"/micro/registry/s/a", "s", "a", true},
		{"/micro/registry/s/b", "s", "a", false},
		{"/micro/registry/s/a", "t", "a", false},
		{"/micro/registry/s/ba", "s", "a", false},
		{"/micro/registry/x-y/a", "x/y", "a", true},
		{"/micro/registry/x-y/a", "x-y", "a", true},
		{"/micro/registry/s/a/b", "s", "a/b", true}, // ours
		{"/micro/registry/s/a-b", "s", "a/b", true}, // the official plugin's
		{"/micro/registry/s/a/b", "s", "a-b", false},
		{"k", "s", "a", false},
	} {
		r := &catalog.Record{Key: tt.key, Name: tt.name, Node: &catalog.Node{Id: tt.id}}
		require.Equal(t, tt.own, r.HasOwnKey(), tt)
	}
}
