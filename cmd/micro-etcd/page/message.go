package page

import (
	"encoding/json"
	"net/http"
)

// Times are Unix milliseconds of this server's clock. Each message says what that clock shows, so that the browser's
// own clock doesn't matter.

// snapshot replaces everything that a browser knows.
type snapshot struct {
	Now      int64     `json:"now"`
	Began    int64     `json:"began"` // since when this server looks
	Prefix   string    `json:"prefix"`
	Span     int64     `json:"span"` // of the histories, in seconds
	Services []summary `json:"services"`
	Total    history   `json:"total"`
	Events   []event   `json:"events"`
	Health   health    `json:"health"`

	Datacenter  string       `json:"datacenter,omitempty"` // which one this is; none of them if they have no names
	Datacenters []datacenter `json:"datacenters,omitempty"`
}

// delta is what changed since the message before. Applying one twice changes nothing.
type delta struct {
	Now      int64     `json:"now"`
	Services []summary `json:"services,omitempty"` // with the last point of their histories only
	Gone     []string  `json:"gone,omitempty"`     // services without nodes now
	Total    history   `json:"total,omitempty"`
	Events   []event   `json:"events,omitempty"`
	Health   *health   `json:"health,omitempty"`

	Datacenters []datacenter `json:"datacenters,omitempty"` // all of them
}

// datacenter is one of those that can be switched between.
type datacenter struct {
	Name      string `json:"name"`
	Connected bool   `json:"connected"`       // its etcd is followed
	Error     string `json:"error,omitempty"` // why it isn't; none while it is connected to for the first time
}

// summary is a service in the list.
type summary struct {
	Name     string    `json:"name"`
	Nodes    int       `json:"nodes"`
	Versions []version `json:"versions"` // newest first, at most maxVersions
	More     int       `json:"more,omitempty"`
	Broken   int       `json:"broken,omitempty"`   // records that can't be read
	Immortal int       `json:"immortal,omitempty"` // records without a lease, which nothing removes
	Orphaned int       `json:"orphaned,omitempty"` // records on a lease that doesn't exist, which nothing removes either
	Out      int       `json:"out,omitempty"`      // nodes out of service, which aren't among the others
	Changed  int64     `json:"changed,omitempty"`  // 0: not since this server looks
	History  history   `json:"history"`
}

type version struct {
	Version string `json:"version"`
	Nodes   int    `json:"nodes"`
}

// event is a line of the event stream.
type event struct {
	Number  int64  `json:"number"` // ascending
	At      int64  `json:"at"`
	Kind    string `json:"kind"` // appeared, changed, gone, out, back, connected, disconnected
	Service string `json:"service,omitempty"`
	Node    string `json:"node,omitempty"`
	Address string `json:"address,omitempty"`
	Version string `json:"version,omitempty"`
	Former  string `json:"former,omitempty"` // the version before, if it changed
	Reason  string `json:"reason,omitempty"` // why it is out of service
	By      string `json:"by,omitempty"`     // who took it out; "" for its own health checks
	Error   string `json:"error,omitempty"`
}

// health is what the banner shows.
type health struct {
	Read      bool     `json:"read"`      // all that etcd has was read once; else nothing is known
	Connected bool     `json:"connected"` // the view follows etcd
	Since     int64    `json:"since"`     // of Connected
	Heard     int64    `json:"heard"`     // when etcd was last heard of; what is shown is at most that old
	Error     string   `json:"error,omitempty"`
	Refused   bool     `json:"refused,omitempty"`  // the error is etcd's answer
	Conflict  string   `json:"conflict,omitempty"` // why answers can't be of one etcd
	Members   []member `json:"members"`
	Leader    string   `json:"leader,omitempty"`
	Revision  int64    `json:"revision,omitempty"`
	Alarms    []string `json:"alarms,omitempty"`
}

type member struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Healthy bool   `json:"healthy"`
	Leader  bool   `json:"leader,omitempty"`
	Learner bool   `json:"learner,omitempty"`
	Version string `json:"version,omitempty"`
	Size    int64  `json:"size,omitempty"` // of its database, in bytes
	Error   string `json:"error,omitempty"`
}

// detail is an opened service.
type detail struct {
	Now      int64           `json:"now"`
	Name     string          `json:"name"`
	Total    int             `json:"total"`            // records
	Others   int             `json:"others,omitempty"` // of them, that can't be read or are outdated, and so are no nodes
	Out      int             `json:"out,omitempty"`    // of them, notices of nodes out of service
	Matching int             `json:"matching"`         // records that were looked for
	Nodes    []node          `json:"nodes"`            // a page of them
	Versions []versionDetail `json:"versions"`
}

type node struct {
	Key      string      `json:"key"`
	ID       string      `json:"id"`
	Address  string      `json:"address"`
	Version  string      `json:"version"`
	Metadata [][2]string `json:"metadata,omitempty"`
	Lease    string      `json:"lease,omitempty"`
	Left     *int64      `json:"left,omitempty"`    // milliseconds; absent if etcd wasn't asked or didn't answer
	Granted  int64       `json:"granted,omitempty"` // milliseconds
	Seen     int64       `json:"seen"`
	Before   bool        `json:"before,omitempty"` // it is older than Seen
	Revision int64       `json:"revision"`
	Writes   int64       `json:"writes"`
	Size     int         `json:"size"` // bytes of the record
	Error    string      `json:"error,omitempty"`
	Outdated bool        `json:"outdated,omitempty"` // another record of the node counts
	Out      *outOf      `json:"out,omitempty"`      // why it is out of service; the key is the notice's
}

// outOf is why a node is out of service.
type outOf struct {
	Reason       string `json:"reason"`
	By           string `json:"by"` // "" for its own health checks
	Since        int64  `json:"since"`
	Until        int64  `json:"until,omitempty"`        // when its process puts it back
	Acknowledged bool   `json:"acknowledged,omitempty"` // by its process
}

// versionDetail is what the nodes of a version have in common, as the one written last says it.
type versionDetail struct {
	Version   string      `json:"version"`
	Nodes     int         `json:"nodes"`
	Metadata  [][2]string `json:"metadata,omitempty"`
	Endpoints []endpoint  `json:"endpoints,omitempty"`
	More      int         `json:"more,omitempty"` // endpoints that weren't sent
}

type endpoint struct {
	Name     string      `json:"name"`
	Metadata [][2]string `json:"metadata,omitempty"`
	Request  string      `json:"request"`
	Response string      `json:"response"`
}

func respond(w http.ResponseWriter, message any) {
	data, err := json.Marshal(message)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(data) // fails if the browser is gone
}
