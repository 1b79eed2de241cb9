package federation

import (
	"errors"
	"fmt"
)

// Errors that calls return, wrapped with the operation. Test for them with errors.Is. Beside them, calls return the
// errors of the registries, and lookups registry.ErrNotFound as it is.
var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("federation is closed")
	// ErrOption is returned when an option has an impossible value, contradicts another, or is nil.
	ErrOption = errors.New("invalid option")
	// ErrDatacenter is returned for a data center that the federation doesn't have.
	ErrDatacenter = errors.New("unknown data center")
)

var errNilOption = fmt.Errorf("%w: an option is nil", ErrOption)
