//go:build unix

package cachefile

import (
	"os"
	"syscall"
)

// isOurs reports whether a directory belongs to this process's user.
func isOurs(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// isOpen reports whether others may use a directory.
func isOpen(info os.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
