// Package cachefile keeps on disk what etcd had, for a process that starts while etcd is away: one file for each
// directory of etcd. Any number of processes may share them without a lock: each writes whole files, and takes their
// places.
//
//	file.go   what is in a file
//	dir.go    where files are, whose they are, and how one takes another's place
//	saver.go  the goroutine that writes and reads them
package cachefile
