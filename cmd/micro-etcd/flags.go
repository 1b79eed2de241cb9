package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// flags are those that several commands have.
type flags struct {
	addresses         []string
	prefix            string
	user              string
	passwordFile      string
	cacert, cert, key string
	secure            bool
	timeout           time.Duration
	output            string
}

func (f *flags) add(root *cobra.Command) {
	p := root.PersistentFlags()
	p.StringArrayVarP(&f.addresses, "registry_address", "a", nil, "etcd's addresses, with commas (MICRO_REGISTRY_ADDRESS; else 127.0.0.1:2379)")
	p.StringVar(&f.prefix, "prefix", etcd.DefaultPrefix, "where the records are")
	p.StringVar(&f.user, "user", "", "etcd user (ETCD_USERNAME); its password comes from ETCD_PASSWORD, --password-file, or a prompt")
	p.StringVar(&f.passwordFile, "password-file", "", "file with the user's password in its first line")
	p.StringVar(&f.cacert, "cacert", "", "PEM file of the CA that signed etcd's certificate (ETCD_CACERT)")
	p.StringVar(&f.cert, "cert", "", "PEM file of the certificate to show to etcd (ETCD_CERT)")
	p.StringVar(&f.key, "key", "", "PEM file of its key (ETCD_KEY)")
	p.BoolVar(&f.secure, "secure", false, "TLS, verified with the system's roots; https:// addresses do the same")
	p.DurationVar(&f.timeout, "timeout", 5*time.Second, "bound of each request to etcd")
	root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "registry-address":
			name = "registry_address"
		case "username":
			name = "user"
		}
		return pflag.NormalizedName(name)
	})
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return f.check() }
}

// addOutput is for the commands that print in each format.
func (f *flags) addOutput(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table, json or yaml")
	formats := cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc("output", formats) // fails for an unknown flag only
}

func (f *flags) check() error {
	switch {
	case f.output != "table" && f.output != "json" && f.output != "yaml":
		return fmt.Errorf("--output %q is not table, json or yaml", f.output)
	case f.prefix == "":
		return errors.New("--prefix is empty")
	case f.timeout <= 0:
		return fmt.Errorf("--timeout %s is not positive", f.timeout)
	case strings.Contains(f.user, ":"):
		return errors.New("--user takes a name only: a password on a command line can be read by everybody on the machine; use ETCD_PASSWORD, --password-file, or the prompt")
	}
	return nil
}

// files are the TLS files. One that isn't given comes from the environment, as the registry has it.
func (f *flags) files() (ca, cert, key string) {
	return cmp.Or(f.cacert, os.Getenv("ETCD_CACERT")), cmp.Or(f.cert, os.Getenv("ETCD_CERT")), cmp.Or(f.key, os.Getenv("ETCD_KEY"))
}

// options are the registry's beside addresses, prefix and timeout. It logs to log.
func (a *app) options(ctx context.Context, log io.Writer) ([]registry.Option, error) {
	f := &a.flags
	opts := []registry.Option{registry.Logger(lines{log})}
	if f.cacert != "" || f.cert != "" || f.key != "" {
		opts = append(opts, etcd.TLSFiles(f.files()))
	}
	if f.secure {
		opts = append(opts, registry.Secure(true))
	}
	auth, err := a.auth(ctx)
	if err != nil {
		return nil, err
	}
	return append(opts, auth...), nil
}

// auth returns no option if there is no user, or the environment says all. A user without a password is
// asked for it: the registry would leave out both, and etcd then says that the user name is empty.
func (a *app) auth(ctx context.Context) ([]registry.Option, error) {
	f := &a.flags
	user := cmp.Or(f.user, os.Getenv("ETCD_USERNAME"))
	switch {
	case user == "" && f.passwordFile != "":
		return nil, errors.New("--password-file needs --user or ETCD_USERNAME")
	case user == "", f.user == "" && f.passwordFile == "" && os.Getenv("ETCD_PASSWORD") != "":
		return nil, nil
	}
	password, err := a.askPassword(ctx, user)
	if err != nil {
		return nil, err
	}
	if password == "" {
		return nil, fmt.Errorf("the password of user %q is empty", user)
	}
	return []registry.Option{etcd.Auth(user, password)}, nil
}

func (a *app) askPassword(ctx context.Context, user string) (string, error) {
	if file := a.flags.passwordFile; file != "" {
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
	case a.asks:
	case a.flags.user == "":
		return "", errors.New("ETCD_USERNAME is set, ETCD_PASSWORD isn't: set it, give --password-file, or run it at a terminal")
	default:
		return "", fmt.Errorf("no password for user %q: set ETCD_PASSWORD, give --password-file, or run it at a terminal", user)
	}
	fmt.Fprintf(a.err, "Password of %s: ", plain(user))
	password, err := a.password(ctx)
	fmt.Fprintln(a.err)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(password), nil
}
