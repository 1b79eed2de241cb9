package dns

import (
	"strings"

	"github.com/miekg/dns"
)

const (
	maxLabel = 63  // bytes, RFC 1035
	maxName  = 254 // bytes on the wire without the root
)

// name is a domain name, or a part of one, in the form in which names are compared: as on the wire, without the root,
// in lower case. Each label follows its length, so it may hold any byte, dots too.
type name string

// parseName reads a name in the form of zone files, in which a question has it.
func parseName(text string) (name, bool) {
	var wire [maxName + 1]byte
	n, err := dns.PackDomainName(text, wire[:], 0, nil, false)
	if err != nil || n == 0 {
		return "", false
	}
	lower(wire[:n-1])
	return name(wire[:n-1]), true
}

// nameOf returns the name that has a text's parts between dots as labels; false if there can't be one.
func nameOf(text string) (name, bool) {
	if len(text) >= maxName {
		return "", false
	}
	var wire []byte
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > maxLabel {
			return "", false
		}
		wire = append(append(wire, byte(len(label))), label...)
	}
	lower(wire)
	return name(wire), true
}

// lower folds ASCII letters, as RFC 4343 wants it. No length of a label is a letter.
func lower(wire []byte) {
	for i, b := range wire {
		if 'A' <= b && b <= 'Z' {
			wire[i] = b + 'a' - 'A'
		}
	}
}

// first cuts off the first label.
func (n name) first() (label string, rest name) {
	if n == "" {
		return "", ""
	}
	end := 1 + int(n[0])
	return string(n[1:end]), n[end:]
}

// last cuts off the last label.
func (n name) last() (rest name, label string) {
	for at := 0; at < len(n); {
		end := at + 1 + int(n[at])
		if end == len(n) {
			return n[:at], string(n[at+1:])
		}
		at = end
	}
	return "", ""
}

// below cuts off a domain.
func (n name) below(domain name) (rest name, ok bool) {
	at := 0
	for len(n)-at > len(domain) {
		at += 1 + int(n[at])
	}
	return n[:at], n[at:] == domain
}

// parents yields the names above this one: without its first label, and so on.
func (n name) parents(yield func(name) bool) {
	for n != "" {
		if _, n = n.first(); n == "" || !yield(n) {
			return
		}
	}
}
