// Package official holds the official plugin to the conformance kit: it fails in the ways known of it, and no others.
package official
