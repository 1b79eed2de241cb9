package cachefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// asNobody runs a function as a user who isn't root, as far as the file system goes.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() { // in a thread that ends with the goroutine
		defer close(done)
		runtime.LockOSThread()
		if err := syscall.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

func TestADirectoryThatMayNotBeWrittenIsAnError(t *testing.T) {
	d := newDir(t)
	require.NoError(t, os.Chmod(filepath.Dir(d.Path), 0o755)) //nolint:gosec // so that it isn't in the way
	require.NoError(t, os.Chmod(d.Path, 0o555))               //nolint:gosec // that is what is tested
	asNobody(t, func() {
		if err := d.Save(directory, fileAt(3)); err == nil {
			t.Error("it was written")
		} else if !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
		_, err := d.Load(directory)
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
	require.NoError(t, os.Chmod(d.Path, 0o700)) //nolint:gosec // so that it can be removed
	require.NoError(t, d.Save(directory, fileAt(3)))
	asNobody(t, func() {
		_, err := d.Load(directory)
		if os.Geteuid() == 0 {
			require.ErrorIs(t, err, fs.ErrPermission)
		}
	})
}
