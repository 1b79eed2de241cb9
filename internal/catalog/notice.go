package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Notice says why a node is out of service. It lies at a key of its own in the directory of its service, on the lease
// of the record that it stands for, as long as there is no such record.
type Notice struct {
	Format int    `json:"format"` // 1
	Reason string `json:"reason"`
	By     string `json:"by,omitempty"` // who took the node out; "" for its own checks
	// Since is when that was, and Until when the node's process puts the record back by itself, zero for never.
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
	// Acknowledged is when the node's process took note of it, zero as long as it hasn't.
	Acknowledged time.Time       `json:"acknowledged,omitzero"`
	Record       json.RawMessage `json:"record"` // the stored form of the record
}

// noticeMark begins a stored notice. With it the whole is no JSON: the official plugin skips what it can't decode, in
// lookups and in events, but takes any object for a service (v1.2.0 etcd.go, decode).
const noticeMark = "out-of-service "

const noticeFormat = 1

// EncodeNotice returns the stored form of a notice.
func EncodeNotice(n Notice) ([]byte, error) {
	n.Format = noticeFormat
	value, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	return append([]byte(noticeMark), value...), nil
}

// DecodeNotice reads a stored notice. Its error wraps [ErrMalformed].
func DecodeNotice(value []byte) (*Notice, error) {
	rest, found := bytes.CutPrefix(value, []byte(noticeMark))
	if !found {
		return nil, fmt.Errorf("%w: no notice", ErrMalformed)
	}
	n := new(Notice)
	if err := json.Unmarshal(rest, n); err != nil {
		return nil, fmt.Errorf("%w: notice: %w", ErrMalformed, err)
	}
	if n.Format != noticeFormat {
		return nil, fmt.Errorf("%w: notice of format %d", ErrMalformed, n.Format)
	}
	return n, nil
}

// noticeDir is the directory of a service's notices in its own. They are side by side, so that one comparison in etcd
// covers them all.
const noticeDir = ".out-of-service/"

// Notices is the directory of a service's notices.
func (k Keyspace) Notices(service string) string { return k.Dir(service) + noticeDir }

// Notice is the key of the notice that stands for the record at a key.
func (k Keyspace) Notice(recordKey string) string {
	dir := k.DirOf(recordKey)
	return dir + noticeDir + strings.TrimPrefix(recordKey, dir)
}

// OfNotice returns the key of the record that the notice at a key stands for, if it is a key for notices.
func (k Keyspace) OfNotice(key string) (recordKey string, ok bool) {
	dir := k.DirOf(key)
	id, ok := strings.CutPrefix(strings.TrimPrefix(key, dir), noticeDir)
	return dir + id, ok && dir != "" && id != ""
}

// IsNodeID reports whether a node can have an id: notices have keys of their own.
func IsNodeID(id string) bool {
	return id != "" && utf8.ValidString(id) && !strings.HasPrefix(id, noticeDir)
}
