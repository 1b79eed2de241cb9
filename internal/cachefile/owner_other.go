//go:build !unix

package cachefile

import "os"

// Elsewhere the rights of the directory above are inherited, and modes say nothing.

func isOurs(os.FileInfo) bool { return true }

func isOpen(os.FileInfo) bool { return false }
