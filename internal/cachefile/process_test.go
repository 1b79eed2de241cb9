//go:build unix

package cachefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// playsVariable makes this program play another process: what it does, and where.
const playsVariable = "CACHEFILE_TEST_PLAYS"

func play(what string) {
	kind, path, _ := strings.Cut(what, " ")
	d := Dir{Path: path, User: "alice", Prefix: "/micro/registry/", MaxAge: time.Hour}
	switch kind {
	case "write": // until it is killed
		for revision := int64(1); ; revision++ {
			if err := d.Save(directory, fileAt(revision)); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	case "limited": // the file system takes no more than a kilobyte in a file
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: 1000}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if err := d.Save(directory, fileAt(49)); !errors.Is(err, syscall.EFBIG) {
			fmt.Println("not refused:", err)
			os.Exit(1)
		}
	}
	os.Exit(0)
}

func other(t *testing.T, plays string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), playsVariable+"="+plays)
	c.Stdout = os.Stderr
	return c
}

func makePipe(path string) error { return syscall.Mkfifo(path, 0o600) }

// consistent fails unless a file is all of one revision.
func consistent(t *testing.T, f *File) {
	t.Helper()
	want := fileAt(f.Revision)
	want.AsOf = f.AsOf
	requireEqual(t, want, f)
}

func TestAWriterThatIsKilledLeavesAWholeFile(t *testing.T) {
	d := newDir(t)
	require.NoError(t, d.Save(directory, fileAt(0)))
	last := int64(0)
	for round := range 30 {
		c := other(t, "write "+d.Path)
		require.NoError(t, c.Start())
		var f *File
		for seen := 0; seen < 3+round%5; { // it has written a few
			var err error
			f, err = d.Load(directory)
			require.NoError(t, err)
			consistent(t, f)
			if f.Revision != last {
				last = f.Revision
				seen++
			}
		}
		require.NoError(t, c.Process.Kill())
		_ = c.Wait()
		f, err := d.Load(directory)
		require.NoError(t, err)
		consistent(t, f)
		require.NoError(t, os.Remove(d.File(directory))) // the next one begins with a small revision
		require.NoError(t, d.Save(directory, fileAt(0)))
		last = 0
	}
}

func TestEightProcessesShareADirectory(t *testing.T) {
	d := newDir(t)
	require.NoError(t, d.Save(directory, fileAt(0)))
	var writers []*exec.Cmd
	for range 8 {
		c := other(t, "write "+d.Path)
		require.NoError(t, c.Start())
		writers = append(writers, c)
	}
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			last := int64(0)
			for last < 200 {
				f, err := d.Load(directory)
				if err != nil {
					t.Error(err)
					return
				}
				consistent(t, f)
				last = f.Revision
			}
		})
	}
	readers.Wait()
	for _, c := range writers {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// requireOnly fails unless there is just the one file, of a revision.
func requireOnly(t *testing.T, d Dir, revision int64) {
	t.Helper()
	f, err := d.Load(directory)
	require.NoError(t, err)
	require.Equal(t, revision, f.Revision)
	entries, err := os.ReadDir(filepath.Dir(d.File(directory)))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestAFileThatCannotBeWrittenLeavesTheOneBefore(t *testing.T) {
	d := newDir(t)
	require.NoError(t, d.Save(directory, fileAt(3)))
	require.NoError(t, other(t, "limited "+d.Path).Run())
	requireOnly(t, d, 3)
}

func TestAFullDiskLeavesTheFileBefore(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a file system of its own takes root; TestAFileThatCannotBeWrittenLeavesTheOneBefore needs none")
	}
	d := newDir(t)
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", d.Path).
		CombinedOutput(); err != nil {
		t.Skipf("no right to mount: %s", out)
	}
	defer func() { require.NoError(t, exec.Command("umount", d.Path).Run()) }()
	require.NoError(t, d.Save(directory, fileAt(3)))
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(d.Path, strconv.Itoa(i)), make([]byte, 4096), 0o600); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			break
		}
	}
	require.ErrorIs(t, d.Save(directory, fileAt(49)), syscall.ENOSPC)
	requireOnly(t, d, 3)
}

func TestADirectoryOfAnotherUserIsRefused(t *testing.T) {
	d := newDir(t)
	own := filepath.Join(d.Path, ownDirectory)
	require.NoError(t, os.Mkdir(own, 0o700))
	require.NoError(t, d.Save(directory, fileAt(3)))
	if err := os.Chown(own, 65534, -1); errors.Is(err, fs.ErrPermission) {
		t.Skip("giving a directory away takes root")
	}
	require.ErrorIs(t, d.Save(directory, fileAt(4)), errNotOurs)
	_, err := d.Load(directory)
	require.ErrorIs(t, err, errNotOurs)
}
