package catalog

// Action says what a [Change] does, in the words of go-micro's Result.
type Action string

// The actions of a change.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Change is one step of a service: a node of a version that came, changed, or went.
//
// Changes come in an order that is safe for consumers which key nodes by version, as go-micro's cache does: a node that
// moves to another version is deleted from the old one before it is updated in the new one. They have to be folded in
// that order, all of them: an update of one node may carry what is new for its version.
type Change struct {
	Action Action
	// Record is the node's record; for Delete, the one that was known last.
	Record *Record
	// Profile is the version's after the change; for Delete, the record's own.
	Profile *Profile
}
