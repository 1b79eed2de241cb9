package cachefile

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Dir is where files are, and whose. Its methods may take as long as the disk does.
type Dir struct {
	Path         string        // "" for nowhere
	User, Prefix string        // of the registry; others have files of their own
	MaxAge       time.Duration // of what is read; negative for no bound
}

const (
	// maxAhead is how far in the future a file may be: clocks are set.
	maxAhead = 5 * time.Minute
	// maxUnused is for how long files are left that nobody writes any more.
	maxUnused = 7 * 24 * time.Hour
	// maxWriting is how long a file may take to be written; what is older was left behind.
	maxWriting = time.Hour
	// maxFiles is beyond how many files no more are made of directories that are empty: somebody may look up names that
	// have never been there.
	maxFiles = 1000
)

// ownDirectory is the name of the directory that holds the files: the one above may be open to others, as an emptyDir
// of Kubernetes is.
const ownDirectory = "micro-etcd"

// errDirectory says that the whole directory can't be used.
var errDirectory = errors.New("the cache directory can't be used")

// Why a directory isn't used.
var (
	errNotOurs = errors.New("it isn't a directory of our own")
	errOpen    = errors.New("others may write or read in it: chmod 700")
)

// Why a file isn't used.
var (
	errNoFile = errors.New("it is no regular file")
	errOld    = errors.New("it is too old")
	errFuture = errors.New("it is from the future")
)

// names are those of files, and of what becomes one.
var names = regexp.MustCompile(`^[0-9a-f]{64}(\.[0-9a-f]{16}\.tmp)?$`)

// id is what a file of a directory of etcd is called. Names in etcd may have any bytes, and 16 KiB of them.
func (d Dir) id(directory string) string {
	sum := sha256.New()
	for _, part := range []string{d.User, d.Prefix, directory} {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// File returns the path of the file of a directory of etcd.
func (d Dir) File(directory string) string {
	return filepath.Join(d.Path, ownDirectory, d.id(directory))
}

// Load reads what is known of a directory of etcd. Without a file the error wraps fs.ErrNotExist. What is too old, not
// ours or damaged in any way is an error, which wraps errDirectory if it isn't about the one file.
func (d Dir) Load(directory string) (*File, error) {
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	f, err := d.read(root, directory)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.File(directory), err)
	}
	return f, nil
}

func (d Dir) read(root *os.Root, directory string) (*File, error) {
	id := d.id(directory)
	info, err := root.Lstat(id)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNoFile
	case info.Size() > maxSize:
		return nil, errTooBig
	}
	file, err := root.Open(id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxSize))
	if err != nil {
		return nil, err
	}
	f, err := decode(data, id, directory)
	if err != nil {
		return nil, err
	}
	switch age := time.Since(f.AsOf); {
	case age < -maxAhead:
		return nil, errFuture
	case d.MaxAge >= 0 && age > d.MaxAge:
		return nil, errOld
	}
	return f, nil
}

// Save writes what is known of a directory of etcd, unless a newer file is there. Whenever it is cut short, there is
// the file of before, or the new one.
func (d Dir) Save(directory string, f *File) error {
	id := d.id(directory)
	data, err := f.encode(id)
	if err != nil {
		return fmt.Errorf("%s: %w", d.File(directory), err)
	}
	if err := os.MkdirAll(filepath.Join(d.Path, ownDirectory), 0o700); err != nil {
		return fmt.Errorf("%w: %w", errDirectory, err)
	}
	root, err := d.open()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if len(f.Kvs) == 0 && isCrowded(root, id) {
		return nil
	}
	if err := d.replace(root, directory, f, data); err != nil {
		return fmt.Errorf("%s: %w", d.File(directory), err)
	}
	syncDirectory(root)
	return nil
}

// replace puts data in the place of a file that isn't newer than f. Somebody else may do that in the same moment, and
// then the last one counts, until the next change.
func (d Dir) replace(root *os.Root, directory string, f *File, data []byte) error {
	id, random := d.id(directory), make([]byte, 8)
	_, _ = rand.Read(random)
	aside := id + "." + hex.EncodeToString(random) + ".tmp"
	err := write(root, aside, data)
	if err == nil {
		if there, no := d.read(root, directory); no == nil && there.isNewerThan(f) {
			return root.Remove(aside)
		}
		err = root.Rename(aside, id)
	}
	if err != nil {
		_ = root.Remove(aside)
	}
	return err
}

// isCrowded reports whether there is no room for another file that says nothing but that there is nothing.
func isCrowded(root *os.Root, id string) bool {
	if _, err := root.Lstat(id); err == nil {
		return false
	}
	dir, err := root.Open(".")
	if err != nil {
		return true
	}
	defer func() { _ = dir.Close() }()
	entries, _ := dir.ReadDir(maxFiles)
	return len(entries) == maxFiles
}

// write writes a new file, and has it on disk when it returns.
func write(root *os.Root, name string, data []byte) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDirectory puts a new name on disk. Not every system can, and without it a crash may leave the file of before.
func syncDirectory(root *os.Root) {
	if dir, err := root.Open("."); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
}

// open opens the directory of our own. It is an error if it isn't, or if others may use it.
func (d Dir) open() (*os.Root, error) {
	path := filepath.Join(d.Path, ownDirectory)
	named, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDirectory, err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDirectory, err)
	}
	opened, err := root.Stat(".")
	switch {
	case err != nil:
	case !os.SameFile(named, opened), !isOurs(opened): // a symbolic link is another file
		err = errNotOurs
	case isOpen(opened):
		err = errOpen
	}
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("%w: %s: %w", errDirectory, path, err)
	}
	return root, nil
}

// Prune removes files that nobody has written for a week, or for as long as they are read, and what was left behind
// while it was written.
func (d Dir) Prune() {
	if d.Path == "" {
		return
	}
	root, err := d.open()
	if err != nil {
		return // which the first Save or Load says
	}
	defer func() { _ = root.Close() }()
	dir, err := root.Open(".")
	if err != nil {
		return
	}
	defer func() { _ = dir.Close() }()
	for {
		entries, err := dir.ReadDir(1000)
		for _, e := range entries {
			d.prune(root, e.Name())
		}
		if err != nil || len(entries) == 0 {
			return
		}
	}
}

func (d Dir) prune(root *os.Root, name string) {
	if !names.MatchString(name) {
		return
	}
	limit := max(maxUnused, d.MaxAge)
	switch {
	case filepath.Ext(name) == ".tmp":
		limit = maxWriting
	case d.MaxAge < 0:
		return
	}
	if info, err := root.Lstat(name); err == nil && time.Since(info.ModTime()) > limit {
		_ = root.Remove(name)
	}
}
