package cachefile

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// Saver writes files when there is something new, and reads them. It has a goroutine of its own for that, because a
// disk may be slow, or hang.
type Saver struct {
	Unsaved signal.Signal // there is something to be written

	config  SaverConfig
	loads   chan load
	started atomic.Bool
	done    chan struct{} // closed when nothing is written any more

	// Of run alone.
	ignored map[string]bool // paths of files of which was said why
	whole   wholeFile

	mu  sync.Mutex
	err error // why files can't be written at the moment
}

// SaverConfig is what a Saver needs. Its functions don't block.
type SaverConfig struct {
	// Dir is where files are at present; its user doesn't count.
	Dir func() Dir
	// Unsaved returns what isn't in a file there yet.
	Unsaved func(Dir) iter.Seq[Entry]
	// Changed is called when Err has, from nil or to it.
	Changed func()
	// Warnf logs that a file is ignored.
	Warnf func(format string, args ...any)
}

// Entry is what has to be written of a directory of etcd, and for which user.
type Entry struct {
	Directory, User string
	File            *File
	Failed          func() // called if it couldn't be written
}

// load is what somebody waits for: the file of a directory of etcd, or nil.
type load struct {
	user, directory string
	file            chan<- *File
}

const (
	// minSave and maxSave are how soon after a change a file is written.
	minSave = time.Second
	maxSave = 5 * time.Second
	// SaveInterval is how often files are written at most.
	SaveInterval = 10 * time.Second
)

// NewSaver returns one that hasn't been started.
func NewSaver(c SaverConfig) *Saver {
	return &Saver{
		Unsaved: signal.New(), config: c, loads: make(chan load), done: make(chan struct{}),
		ignored: make(map[string]bool),
	}
}

// Start writes until ctx ends. Further calls have that written which isn't in the present directory.
func (s *Saver) Start(ctx context.Context) {
	if s.started.CompareAndSwap(false, true) {
		go s.run(ctx)
	}
	s.Unsaved.Send()
}

// Wait waits until what there was at the end is written, as long as ctx lasts: a disk may hang.
func (s *Saver) Wait(ctx context.Context) {
	if !s.started.Load() {
		return
	}
	select {
	case <-s.done:
	case <-ctx.Done():
	}
}

// Err says why files can't be written at the moment, or nil.
func (s *Saver) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Load returns what is known of a directory of etcd, or nil.
func (s *Saver) Load(ctx context.Context, user, directory string) *File {
	file := make(chan *File, 1)
	select {
	case s.loads <- load{user, directory, file}:
	case <-ctx.Done():
		return nil
	}
	select {
	case found := <-file:
		return found
	case <-ctx.Done():
		return nil
	}
}

func (s *Saver) run(ctx context.Context) {
	defer close(s.done)
	s.config.Dir().Prune()
	refresh := time.NewTicker(Refresh)
	defer refresh.Stop()
	var due <-chan time.Time
	var last time.Time
	for {
		select {
		case l := <-s.loads:
			l.file <- s.load(l)
		case <-s.Unsaved:
			if due == nil {
				due = time.After(max(minSave+rand.N(maxSave-minSave), time.Until(last.Add(SaveInterval))))
			}
		case <-refresh.C:
			s.whole = wholeFile{}
			s.Unsaved.Send()
		case <-due:
			s.save()
			due, last = nil, time.Now()
		case <-ctx.Done():
			s.save()
			return
		}
	}
}

// save writes what isn't in a file yet. Who waits for a load comes first.
func (s *Saver) save() {
	dir := s.config.Dir()
	if dir.Path == "" {
		s.note(nil)
		return
	}
	var tried bool
	var failed error
	for e := range s.config.Unsaved(dir) {
		s.loadNow()
		tried = true
		dir.User = e.User
		if err := dir.Save(e.Directory, e.File); err != nil {
			failed = err
			e.Failed()
		}
	}
	if tried {
		s.note(failed)
	}
}

func (s *Saver) loadNow() {
	for {
		select {
		case l := <-s.loads:
			l.file <- s.load(l)
		default:
			return
		}
	}
}

// note takes note of why files can't be written or read, or that they can.
func (s *Saver) note(err error) {
	s.mu.Lock()
	before := s.err
	s.err = err
	s.mu.Unlock()
	if (before == nil) != (err == nil) {
		s.config.Changed()
	}
}

// load reads the file of a directory, and that of everything, which has it, too: the newer one counts.
func (s *Saver) load(l load) *File {
	dir := s.config.Dir()
	if dir.Path == "" {
		return nil
	}
	dir.User = l.user
	whole := s.loadWhole(dir)
	if l.directory == dir.Prefix {
		return whole
	}
	file := s.read(dir, l.directory)
	if whole != nil && (file == nil || whole.AsOf.After(file.AsOf)) {
		return whole.below(l.directory)
	}
	return file
}

// wholeFile is the file of everything as it was read last: many may ask for a part of it at one time.
type wholeFile struct {
	dir  Dir
	at   time.Time
	file *File
}

func (s *Saver) loadWhole(dir Dir) *File {
	if s.whole.dir != dir || time.Since(s.whole.at) > SaveInterval {
		s.whole = wholeFile{dir, time.Now(), s.read(dir, dir.Prefix)}
	}
	return s.whole.file
}

// read reads a file, if there is one that can be used.
func (s *Saver) read(dir Dir, directory string) *File {
	file, err := dir.Load(directory)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errDirectory):
		s.note(err)
	default:
		s.ignore(dir.File(directory), directory, err)
	}
	return file
}

// maxIgnored bounds the files of which is said why they are ignored.
const maxIgnored = 10

// ignore says once why a file isn't used.
func (s *Saver) ignore(path, directory string, err error) {
	if s.ignored[path] || len(s.ignored) == maxIgnored {
		return
	}
	s.ignored[path] = true
	s.config.Warnf("ignoring the cache file of %.300q: %v", directory, err)
	if len(s.ignored) == maxIgnored {
		s.config.Warnf("that was ignored cache file number %d; others aren't told", maxIgnored)
	}
}
