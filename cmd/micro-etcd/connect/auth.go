package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// auth returns no option if there is no user, or the environment says all. A user without a password is asked for it:
// the registry would leave out both, and etcd then says that the user name is empty.
func (f *Flags) auth(ctx context.Context, s iostreams.Streams) ([]registry.Option, error) {
	user := cmp.Or(f.user, os.Getenv("ETCD_USERNAME"))
	switch {
	case user == "" && f.passwordFile != "":
		return nil, errors.New("--password-file needs --user or ETCD_USERNAME")
	case user == "", f.user == "" && f.passwordFile == "" && os.Getenv("ETCD_PASSWORD") != "":
		return nil, nil
	}
	password, err := f.password(ctx, s, user)
	if err != nil {
		return nil, err
	}
	if password == "" {
		return nil, fmt.Errorf("the password of user %q is empty", user)
	}
	return []registry.Option{etcd.Auth(user, password)}, nil
}

// password comes from the file, the environment, or somebody at a terminal.
func (f *Flags) password(ctx context.Context, s iostreams.Streams, user string) (string, error) {
	if file := f.passwordFile; file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("--password-file: %w", err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		return strings.TrimSuffix(line, "\r"), nil
	}
	if password := os.Getenv("ETCD_PASSWORD"); password != "" {
		return password, nil
	}
	switch {
	case *f.typed != "":
		return *f.typed, nil
	case s.CanPrompt:
	case f.user == "":
		return "", errors.New(
			"ETCD_USERNAME is set, ETCD_PASSWORD isn't: set it, give --password-file, or run it at a terminal",
		)
	default:
		return "", fmt.Errorf(
			"no password for user %q: set ETCD_PASSWORD, give --password-file, or run it at a terminal", user,
		)
	}
	fmt.Fprintf(s.Err, "Password of %s: ", output.Escape(user))
	password, err := s.ReadPassword(ctx)
	fmt.Fprintln(s.Err)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	*f.typed = string(password)
	return *f.typed, nil
}

// EtcdUser returns whom etcd takes this command for, as far as that is known: a user, or the name in the certificate.
func (f *Flags) EtcdUser() string {
	ca, cert, key := f.files()
	return cmp.Or(f.user, os.Getenv("ETCD_USERNAME"), etcdconn.TLSFiles{CA: ca, Cert: cert, Key: key}.User())
}
