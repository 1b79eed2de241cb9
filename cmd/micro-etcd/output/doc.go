// Package output writes what the command found: as a table, as JSON or as YAML. Texts from etcd can't harm the terminal
// that shows them.
package output
