package etcdfake

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// This file is etcd's unary requests, and keepalives; watch.go is watches.

// do makes a change that is a request's, and returns the header of its answer.
func (e *Server) do(do func(*Store) error) (*pb.ResponseHeader, error) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	err := e.change(do)
	return e.Store.header(), err
}

// Range serves the method of that name, as do the following ones.
func (e *Server) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	return e.Store.read(r)
}

// Put serves.
func (e *Server) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	header, err := e.do(func(s *Store) error {
		if s.Missing(r.Lease) {
			return rpctypes.ErrGRPCLeaseNotFound
		}
		s.put(r)
		return nil
	})
	return &pb.PutResponse{Header: header}, err
}

// DeleteRange serves.
func (e *Server) DeleteRange(_ context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	var answer *pb.DeleteRangeResponse
	header, err := e.do(func(s *Store) error {
		answer = s.delete(r)
		return nil
	})
	answer.Header = header
	return answer, err
}

// Txn serves.
func (e *Server) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	var answer *pb.TxnResponse
	header, err := e.do(func(s *Store) (err error) {
		answer, err = s.txn(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer.Header = header
	return answer, nil
}

// Compact serves.
func (e *Server) Compact(_ context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	header, err := e.do(func(s *Store) error { return s.compact(r.Revision) })
	return &pb.CompactionResponse{Header: header}, err
}

// LeaseGrant serves.
func (e *Server) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	var answer *pb.LeaseGrantResponse
	header, err := e.do(func(s *Store) (err error) {
		answer, err = s.grant(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer.Header = header
	return answer, nil
}

// LeaseRevoke serves.
func (e *Server) LeaseRevoke(_ context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	header, err := e.do(func(s *Store) error { return s.revoke(r.ID) })
	return &pb.LeaseRevokeResponse{Header: header}, err
}

// LeaseTimeToLive serves.
func (e *Server) LeaseTimeToLive(_ context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	answer := &pb.LeaseTimeToLiveResponse{Header: e.Store.header(), ID: r.ID, TTL: -1}
	if l := e.Store.Leases[r.ID]; l != nil {
		answer.TTL, answer.GrantedTTL = int64(time.Until(l.expires)/time.Second), l.seconds
		for _, kv := range e.Store.keysOf(r.ID) {
			if r.Keys {
				answer.Keys = append(answer.Keys, kv.Key)
			}
		}
	}
	return answer, nil
}

// LeaseKeepAlive serves.
func (e *Server) LeaseKeepAlive(s pb.Lease_LeaseKeepAliveServer) error {
	e.Keepalives.Add(1)
	return e.serveStream(s, func(stream *stream) error {
		for {
			r, err := s.Recv()
			if err != nil {
				return err
			}
			answer, err := e.handle(stream.ctx, "LeaseKeepAlive", r, func() (any, error) { return e.renew(r), nil })
			if err != nil {
				return err
			}
			if err := s.Send(answer.(*pb.LeaseKeepAliveResponse)); err != nil {
				return err
			}
		}
	})
}

func (e *Server) renew(r *pb.LeaseKeepAliveRequest) *pb.LeaseKeepAliveResponse {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	answer := &pb.LeaseKeepAliveResponse{Header: e.Store.header(), ID: r.ID}
	if l := e.Store.Leases[r.ID]; l != nil {
		l.renew()
		answer.TTL = l.seconds
		e.scheduleExpiry()
	}
	return answer
}
