//go:build unix

package cachefile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(playsVariable); what != "" {
		play(what)
	}
	goleak.VerifyTestMain(m)
}

const directory = "/micro/registry/greeter/"

func newDir(tb testing.TB) Dir {
	tb.Helper()
	return Dir{Path: tb.TempDir(), User: "alice", Prefix: "/micro/registry/", MaxAge: time.Hour}
}

// fileAt returns a file of some revision, in which every record has that, too.
func fileAt(revision int64) *File {
	f := &File{AsOf: time.Now(), Cluster: 7, Revision: revision}
	for _, id := range []string{"n1", "n2", "n3"} {
		value := strings.Repeat(`{"name":"greeter"}`, int(1+revision%50))
		f.Kvs = append(f.Kvs, &mvccpb.KeyValue{
			Key: []byte(directory + id), Value: []byte(value), ModRevision: revision, Lease: 11,
		})
	}
	return f
}

func requireEqual(t *testing.T, want, got *File) {
	t.Helper()
	require.True(t, want.AsOf.Equal(got.AsOf))
	require.Equal(t, [2]any{want.Cluster, want.Revision}, [2]any{got.Cluster, got.Revision})
	require.True(t, proto.Equal(message(&pb.RangeResponse{Kvs: want.Kvs}), message(&pb.RangeResponse{Kvs: got.Kvs})))
}

func TestWhatIsSavedIsLoaded(t *testing.T) {
	d := newDir(t)
	_, err := d.Load(directory)
	require.ErrorIs(t, err, fs.ErrNotExist)
	for _, f := range []*File{fileAt(5), {AsOf: time.Now(), Cluster: 7, Revision: 9}} {
		require.NoError(t, d.Save(directory, f))
		got, err := d.Load(directory)
		require.NoError(t, err)
		requireEqual(t, f, got)
	}
	long := "/micro/registry/" + strings.Repeat("x", 16<<10) + "/"
	for _, name := range []string{long, "/micro/registry/../../..\x00\xff/", "/"} {
		f := &File{AsOf: time.Now(), Kvs: []*mvccpb.KeyValue{{Key: []byte(name + "\xff\x00"), Value: []byte("\xfe")}}}
		require.NoError(t, d.Save(name, f))
		got, err := d.Load(name)
		require.NoError(t, err)
		requireEqual(t, f, got)
	}
}

func TestFilesAreOnlyForWhomTheyAre(t *testing.T) {
	d := newDir(t)
	require.NoError(t, d.Save(directory, fileAt(5)))
	for name, change := range map[string]func(*Dir){
		"user":   func(d *Dir) { d.User = "bob" },
		"prefix": func(d *Dir) { d.Prefix = "/micro/" },
		"both":   func(d *Dir) { d.User, d.Prefix = "alice/micro", "/registry/" },
	} {
		other := d
		change(&other)
		_, err := other.Load(directory)
		require.ErrorIs(t, err, fs.ErrNotExist, name)
		require.NoError(t, os.Rename(d.File(directory), other.File(directory)))
		_, err = other.Load(directory)
		require.ErrorIs(t, err, errForeign, name)
		require.NoError(t, os.Rename(other.File(directory), d.File(directory)))
	}
	_, err := d.Load(directory)
	require.NoError(t, err)
	info, err := os.Stat(d.File(directory))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	info, err = os.Stat(filepath.Dir(d.File(directory)))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
}

// overwrite puts bytes where a file is.
func overwrite(t *testing.T, d Dir, data []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(d.File(directory), data, 0o600))
}

func TestADamagedFileIsIgnoredAsAWhole(t *testing.T) {
	d := newDir(t)
	require.NoError(t, d.Save(directory, fileAt(5)))
	whole, err := os.ReadFile(d.File(directory))
	require.NoError(t, err)
	for length := range whole {
		overwrite(t, d, whole[:length])
		_, err := d.Load(directory)
		require.Error(t, err, "cut off after %d bytes", length)
	}
	for i := range whole {
		for _, flip := range []byte{0x01, 0x20, 0x80, 0xff} {
			other := bytes.Clone(whole)
			other[i] ^= flip
			overwrite(t, d, other)
			_, err := d.Load(directory)
			require.Error(t, err, "byte %d", i)
		}
	}
	overwrite(t, d, append(bytes.Clone(whole), 0))
	_, err = d.Load(directory)
	require.Error(t, err)
	require.NoError(t, d.Save(directory, fileAt(6)))
	_, err = d.Load(directory)
	require.NoError(t, err, "the next one takes its place")
}

// seal gives a body the checksum that it should have: somebody may want to deceive.
func seal(body string) []byte {
	sum := sha256.Sum256([]byte(body))
	return []byte(format + hex.EncodeToString(sum[:]) + "\n" + body)
}

func TestAFileThatContradictsItselfIsIgnored(t *testing.T) {
	d := newDir(t)
	require.NoError(t, d.Save(directory, fileAt(5)))
	id, now := d.id(directory), time.Now().Format(time.RFC3339Nano)
	records := func(answer *pb.RangeResponse) string {
		data, err := proto.Marshal(message(answer))
		require.NoError(t, err)
		return string(data)
	}
	header := &pb.ResponseHeader{Revision: 5}
	good := records(&pb.RangeResponse{Header: header})
	overwrite(t, d, seal(id+" "+now+"\n"+good))
	_, err := d.Load(directory)
	require.NoError(t, err)
	for name, body := range map[string]string{
		"empty":           "",
		"no time":         id + "\n" + good,
		"no good time":    id + " yesterday\n" + good,
		"no records":      id + " " + now,
		"no header":       id + " " + now + "\n" + records(&pb.RangeResponse{}),
		"no answer":       id + " " + now + "\n{}",
		"another's":       strings.Repeat("0", 64) + " " + now + "\n" + good,
		"from the future": id + " " + time.Now().Add(time.Hour).Format(time.RFC3339Nano) + "\n" + good,
		"old":             id + " " + time.Now().Add(-2*time.Hour).Format(time.RFC3339Nano) + "\n" + good,
		"a key from elsewhere": id + " " + now + "\n" + records(&pb.RangeResponse{
			Header: header, Kvs: []*mvccpb.KeyValue{{Key: []byte("/micro/registry/other/n1")}},
		}),
	} {
		overwrite(t, d, seal(body))
		_, err := d.Load(directory)
		require.Error(t, err, name)
	}
	overwrite(t, d, []byte("micro-etcd cache 2 "+strings.Repeat("0", 64)+"\n"))
	_, err = d.Load(directory)
	require.ErrorIs(t, err, errFormat)
}

func TestANewerFileStays(t *testing.T) {
	now := time.Now()
	at := func(cluster uint64, revision int64, ago time.Duration) *File {
		return &File{AsOf: now.Add(-ago), Cluster: cluster, Revision: revision}
	}
	for name, c := range map[string]struct {
		there, mine *File
		stays       bool
	}{
		"the first":                    {at(7, 5, 0), at(7, 5, 0), false},
		"a higher revision":            {at(7, 5, 0), at(7, 6, time.Minute), false},
		"a lower revision":             {at(7, 5, time.Minute), at(7, 4, 0), true},
		"the same, later":              {at(7, 5, time.Minute), at(7, 5, 0), false},
		"the same, earlier":            {at(7, 5, 0), at(7, 5, time.Minute), true},
		"etcd restored":                {at(7, 5000, 30*time.Minute), at(7, 4, 0), false},
		"restored, and mine is older":  {at(7, 50, 0), at(7, 5000, 30*time.Minute), true},
		"another cluster, later":       {at(8, 5000, time.Minute), at(7, 4, 0), false},
		"another cluster, earlier":     {at(8, 5, 0), at(7, 5000, time.Minute), true},
		"what is there is too old":     {at(8, 5, 2*time.Hour), at(7, 5000, 3*time.Hour), false},
		"what is there is of tomorrow": {at(8, 5, -24*time.Hour), at(7, 5, 0), false},
	} {
		d := newDir(t)
		require.NoError(t, d.Save(directory, c.there))
		require.NoError(t, d.Save(directory, c.mine))
		d.MaxAge = -1
		got, err := d.Load(directory)
		require.NoError(t, err, name)
		want := c.mine
		if c.stays {
			want = c.there
		}
		require.Equal(t, [2]any{want.Cluster, want.Revision}, [2]any{got.Cluster, got.Revision}, name)
	}
}

func TestOnlyRegularFilesOfOursAreUsed(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	whole, err := fileAt(5).encode(newDir(t).id(directory))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(elsewhere, whole, 0o600))
	for name, put := range map[string]func(path string) error{
		"a symbolic link":         func(path string) error { return os.Symlink(elsewhere, path) },
		"a link to nowhere":       func(path string) error { return os.Symlink("/nowhere", path) },
		"a link to itself":        func(path string) error { return os.Symlink(path, path) },
		"a named pipe":            makePipe,
		"a file of more than all": func(path string) error { return truncated(path, maxSize+1) },
	} {
		d := newDir(t)
		require.NoError(t, d.Save(directory, fileAt(4)))
		require.NoError(t, os.Remove(d.File(directory)))
		require.NoError(t, put(d.File(directory)), name)
		_, err := d.Load(directory)
		require.Error(t, err, name)
		require.NoError(t, d.Save(directory, fileAt(6)), name)
		_, err = d.Load(directory)
		require.NoError(t, err, name)
	}
	left, err := os.ReadFile(elsewhere)
	require.NoError(t, err)
	require.Equal(t, whole, left)
	d := newDir(t)
	require.NoError(t, os.MkdirAll(d.File(directory), 0o700))
	_, err = d.Load(directory)
	require.ErrorIs(t, err, errNoFile)
	require.Error(t, d.Save(directory, fileAt(6)))
	entries, err := os.ReadDir(filepath.Dir(d.File(directory)))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left of the attempt")
}

func truncated(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

func TestADirectoryThatIsNotOursAloneIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		make func(own string) error
		want error
	}{
		"open to others": {func(own string) error { return os.Mkdir(own, 0o750) }, errOpen},
		"a symbolic link": {func(own string) error {
			if err := os.Mkdir(own+"-elsewhere", 0o700); err != nil {
				return err
			}
			return os.Symlink(own+"-elsewhere", own)
		}, errNotOurs},
	} {
		d := newDir(t)
		require.NoError(t, os.Chmod(d.Path, 0o777)) //nolint:gosec // as an emptyDir is
		require.NoError(t, c.make(filepath.Join(d.Path, ownDirectory)))
		require.ErrorIs(t, d.Save(directory, fileAt(6)), c.want, name)
		_, err := d.Load(directory)
		require.ErrorIs(t, err, c.want, name)
	}
	d := newDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(d.Path, ownDirectory), nil, 0o600))
	require.Error(t, d.Save(directory, fileAt(6)))
}

func TestWhatNobodyUsesIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock stands still
		d := newDir(t)
		require.NoError(t, d.Save(directory, fileAt(5)))
		require.NoError(t, d.Save("/micro/registry/other/", &File{AsOf: time.Now()}))
		own := filepath.Join(d.Path, ownDirectory)
		temporary := d.File(directory) + ".0123456789abcdef.tmp"
		foreign := filepath.Join(own, "README")
		for _, name := range []string{temporary, temporary + ".tmp", foreign} {
			require.NoError(t, os.WriteFile(name, nil, 0o600))
		}
		age := func(name string, d time.Duration) {
			t.Helper()
			at := time.Now().Add(-d)
			require.NoError(t, os.Chtimes(name, at, at))
		}
		left := func() (names []string) {
			entries, err := os.ReadDir(own)
			require.NoError(t, err)
			for _, e := range entries {
				names = append(names, e.Name())
			}
			return names
		}
		age(d.File(directory), 6*24*time.Hour)
		age(d.File("/micro/registry/other/"), 8*24*time.Hour)
		age(temporary, 2*time.Hour)
		age(foreign, 1000*time.Hour)
		unbounded := d
		unbounded.MaxAge = -1
		unbounded.Prune()
		require.Len(t, left(), 4, "but for what was left behind")
		long := d
		long.MaxAge = 10 * 24 * time.Hour
		long.Prune()
		require.Len(t, left(), 4)
		d.Prune()
		require.NotContains(t, left(), d.id("/micro/registry/other/"))
		require.Len(t, left(), 3)
	})
}

func TestThereIsABoundOfFilesOfNothing(t *testing.T) {
	d := newDir(t)
	nothing := &File{AsOf: time.Now()}
	require.NoError(t, d.Save("/micro/registry/0/", nothing))
	for i := 1; i < maxFiles-1; i++ {
		require.NoError(t, os.WriteFile(d.File(fmt.Sprint("/micro/registry/", i, "/")), nil, 0o600))
	}
	for i := range 10 {
		require.NoError(t, d.Save(fmt.Sprint("/micro/registry/other-", i, "/"), nothing))
	}
	entries, err := os.ReadDir(filepath.Join(d.Path, ownDirectory))
	require.NoError(t, err)
	require.Len(t, entries, maxFiles)
	require.NoError(t, d.Save(directory, fileAt(5)))
	require.NoError(t, d.Save(directory, &File{AsOf: time.Now(), Cluster: 7, Revision: 6}))
	f, err := d.Load(directory)
	require.NoError(t, err)
	require.Empty(t, f.Kvs, "what was there and has gone is always told")
}

func FuzzDecode(f *testing.F) {
	d := newDir(f)
	id := d.id(directory)
	whole, err := fileAt(5).encode(id)
	require.NoError(f, err)
	_, body, _ := bytes.Cut(whole, []byte("\n"))
	f.Add(string(body))
	f.Add(id + " 2026-11-29T10:00:00Z\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, body string) {
		file, err := decode(seal(body), id, directory)
		if err != nil {
			return
		}
		again, err := file.encode(id)
		require.NoError(t, err)
		same, err := decode(again, id, directory)
		require.NoError(t, err)
		requireEqual(t, file, same)
	})
}
