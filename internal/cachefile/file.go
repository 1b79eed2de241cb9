package cachefile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// File is what etcd had in a directory. On disk it has the form of etcd's answer to a range request, after two lines of
// text: the format with the checksum of all that follows, and whose it is with the time.
type File struct {
	AsOf     time.Time // up to when that is known
	Cluster  uint64
	Revision int64 // of etcd, up to which all is known; own writes may be newer
	Kvs      []*mvccpb.KeyValue
}

// format is what a file begins with. Another one gets another number.
const format = "micro-etcd cache 1 "

// maxSize bounds a file, in bytes.
const maxSize = 64 << 20

// Why there is nothing to be had of a file.
var (
	errFormat  = errors.New("it isn't a cache file of this version")
	errDamaged = errors.New("it is damaged")
	errForeign = errors.New("it is of another user, prefix or directory")
	errTooBig  = fmt.Errorf("it has more than %d MiB", maxSize>>20)
)

// SetRecords makes records the contents of a file. They may not be changed meanwhile.
func (f *File) SetRecords(records []*catalog.Record) {
	f.Kvs = make([]*mvccpb.KeyValue, 0, len(records))
	for _, r := range records {
		value, err := catalog.Encode(r)
		if err != nil {
			panic(err) // it was decoded, or encoded before
		}
		kv := &mvccpb.KeyValue{Key: []byte(r.Key), Value: value, ModRevision: r.Revision, Lease: r.Lease}
		f.Kvs = append(f.Kvs, kv)
	}
	slices.SortFunc(f.Kvs, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
}

// encode returns the contents of a file.
func (f *File) encode(id string) ([]byte, error) {
	answer := pb.RangeResponse{Header: &pb.ResponseHeader{ClusterId: f.Cluster, Revision: f.Revision}, Kvs: f.Kvs}
	records, err := proto.Marshal(message(&answer))
	if err != nil {
		return nil, err
	}
	body := append([]byte(id+" "+f.AsOf.UTC().Format(time.RFC3339Nano)+"\n"), records...)
	data := append([]byte(format+checksum(body)+"\n"), body...)
	if len(data) > maxSize {
		return nil, errTooBig
	}
	return data, nil
}

// message takes messages of both generators: up to v3.6 they are gogo's, with methods of their own, from v3.7 Google's.
func message(answer *pb.RangeResponse) proto.Message { return protoadapt.MessageV2Of(answer) }

func checksum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// decode is the reverse of encode, for the keys below a directory.
func decode(data []byte, id, directory string) (*File, error) {
	first, body, _ := bytes.Cut(data, []byte("\n"))
	sum, ok := strings.CutPrefix(string(first), format)
	switch {
	case !ok:
		return nil, errFormat
	case sum != checksum(body):
		return nil, errDamaged
	}
	second, records, _ := bytes.Cut(body, []byte("\n"))
	of, asOf, _ := strings.Cut(string(second), " ")
	if of != id {
		return nil, errForeign
	}
	at, err := time.Parse(time.RFC3339Nano, asOf)
	if err != nil {
		return nil, errDamaged
	}
	var answer pb.RangeResponse
	if err := proto.Unmarshal(records, message(&answer)); err != nil || answer.Header == nil {
		return nil, errDamaged
	}
	f := &File{AsOf: at, Cluster: answer.Header.ClusterId, Revision: answer.Header.Revision, Kvs: answer.Kvs}
	for _, kv := range f.Kvs {
		if !strings.HasPrefix(string(kv.Key), directory) {
			return nil, errDamaged
		}
	}
	return f, nil
}

// Newest returns the newest revision in the file.
func (f *File) Newest() int64 {
	newest := f.Revision
	for _, kv := range f.Kvs {
		newest = max(newest, kv.ModRevision)
	}
	return newest
}

// below returns the part of a file that is below another directory.
func (f *File) below(directory string) *File {
	part := *f
	part.Kvs = nil
	for _, kv := range f.Kvs {
		if strings.HasPrefix(string(kv.Key), directory) {
			part.Kvs = append(part.Kvs, kv)
		}
	}
	return &part
}

// Refresh is how often a file has to be written although nothing has changed, so that its time is right.
const Refresh = 5 * time.Minute

// abandoned is by how much a file is older than what somebody knows, if nobody keeps it up to date any more: who does
// writes at least every [Refresh].
const abandoned = 4 * Refresh

// isNewerThan reports whether a file is of a later time than another one: of one cluster by the revisions, because who
// is behind etcd doesn't know it. But after etcd was restored from a snapshot the revisions are small again.
func (f *File) isNewerThan(o *File) bool {
	if f.Cluster == o.Cluster && f.Revision != o.Revision && o.AsOf.Sub(f.AsOf).Abs() < abandoned {
		return f.Revision > o.Revision
	}
	return f.AsOf.After(o.AsOf)
}
