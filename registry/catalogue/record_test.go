package catalogue_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

func TestRecordEqual(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*catalogue.Record)
		equal  bool
	}{
		"nothing":         {func(*catalogue.Record) {}, true},
		"key":             {func(r *catalogue.Record) { r.Key = "x" }, true},
		"revision":        {func(r *catalogue.Record) { r.Revision = 99 }, true},
		"name":            {func(r *catalogue.Record) { r.Name = "x" }, false},
		"version":         {func(r *catalogue.Record) { r.Version = "x" }, false},
		"profile":         {func(r *catalogue.Record) { r.Profile = profile("x") }, false},
		"node id":         {func(r *catalogue.Record) { r.Node.Id = "x" }, false},
		"node address":    {func(r *catalogue.Record) { r.Node.Address = "x" }, false},
		"metadata value":  {func(r *catalogue.Record) { r.Node.Metadata["address"] = "x" }, false},
		"metadata key":    {func(r *catalogue.Record) { r.Node.Metadata["x"] = "x" }, false},
		"metadata is nil": {func(r *catalogue.Record) { r.Node.Metadata = nil }, false},
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
		change func(*catalogue.Profile)
		equal  bool
	}{
		"nothing":             {func(*catalogue.Profile) {}, true},
		"metadata":            {func(p *catalogue.Profile) { p.Metadata["colour"] = "x" }, false},
		"no endpoints":        {func(p *catalogue.Profile) { p.Endpoints = nil }, false},
		"one endpoint more":   {func(p *catalogue.Profile) { p.Endpoints = append(p.Endpoints, &registry.Endpoint{}) }, false},
		"endpoint name":       {func(p *catalogue.Profile) { p.Endpoints[0].Name = "x" }, false},
		"endpoint metadata":   {func(p *catalogue.Profile) { p.Endpoints[0].Metadata["x"] = "x" }, false},
		"no request":          {func(p *catalogue.Profile) { p.Endpoints[0].Request = nil }, false},
		"request name":        {func(p *catalogue.Profile) { p.Endpoints[0].Request.Name = "x" }, false},
		"request type":        {func(p *catalogue.Profile) { p.Endpoints[0].Request.Type = "x" }, false},
		"request field":       {func(p *catalogue.Profile) { p.Endpoints[0].Request.Values[0].Type = "x" }, false},
		"request has no more": {func(p *catalogue.Profile) { p.Endpoints[0].Request.Values = nil }, false},
		"response name":       {func(p *catalogue.Profile) { p.Endpoints[0].Response.Name = "x" }, false},
		"empty response fields": {func(p *catalogue.Profile) {
			p.Endpoints[0].Response.Values = []*registry.Value{}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, q := profile("red"), profile("red")
			tt.change(q)
			require.Equal(t, tt.equal, p.Equal(q))
			require.Equal(t, tt.equal, q.Equal(p))
		})
	}
	empty := &catalogue.Profile{Metadata: map[string]string{}, Endpoints: []*registry.Endpoint{}}
	require.True(t, empty.Equal(&catalogue.Profile{}), "nil equals empty")
}

func TestNewRecordSharesNothing(t *testing.T) {
	source := rec("", 0, "s@1", "a=:1", profile("red")).Service()
	r := catalogue.NewRecord("k", source, source.Nodes[0])
	want := rec("k", 0, "s@1", "a=:1", profile("red"))
	require.Equal(t, want, r)
	vandalise(source)
	require.Equal(t, want, r)
}

func TestNewRecordLeavesOutNil(t *testing.T) {
	r := catalogue.NewRecord("k", &registry.Service{Name: "s", Endpoints: []*registry.Endpoint{
		nil, {Name: "e", Request: &registry.Value{Values: []*registry.Value{nil, {Name: "v"}, nil}}}, nil,
	}}, &registry.Node{Id: "a"})
	require.Equal(t, &catalogue.Profile{Endpoints: []*registry.Endpoint{
		{Name: "e", Request: &registry.Value{Values: []*registry.Value{{Name: "v"}}}},
	}}, r.Profile)
	require.Equal(t, &registry.Node{Id: "a"}, r.Node)
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
		r := &catalogue.Record{Key: tt.key, Name: tt.name, Node: &registry.Node{Id: tt.id}}
		require.Equal(t, tt.own, r.HasOwnKey(), tt)
	}
}
