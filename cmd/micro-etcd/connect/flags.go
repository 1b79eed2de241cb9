// Package connect connects the command to etcd as the registry does, with what its flags and the environment say.
package connect

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// Flags say where etcd is, and how to be let in. All commands have them.
type Flags struct {
	Addresses  []string // as the registry takes them
	Datacenter string   // its name; "" if none was given
	Prefix     string
	Timeout    time.Duration

	datacenters       []string // as given; none if it is clear which one is meant
	typed             *string  // the password that somebody has typed, for all data centers
	user              string
	passwordFile      string
	cacert, cert, key string
	secure            bool
}

// Add adds the flags to the root command.
func (f *Flags) Add(root *cobra.Command) {
	f.typed = new(string)
	p := root.PersistentFlags()
	p.StringArrayVarP(
		&f.Addresses, "registry_address", "a", nil,
		"etcd's addresses, with commas (MICRO_REGISTRY_ADDRESS; else 127.0.0.1:2379)",
	)
	p.StringArrayVar(
		&f.datacenters, "dc", nil, "data center and its etcd's addresses, as in us1=10.9.0.1,10.9.0.2; repeatable",
	)
	p.StringVar(
		&f.Prefix, "prefix", cmp.Or(os.Getenv("MICRO_REGISTRY_PREFIX"), etcd.DefaultPrefix),
		"where the records are (MICRO_REGISTRY_PREFIX)",
	)
	p.StringVar(
		&f.user, "user", "", "etcd user (ETCD_USERNAME); its password comes from ETCD_PASSWORD, --password-file, or a prompt",
	)
	p.StringVar(&f.passwordFile, "password-file", "", "file with the user's password in its first line")
	p.StringVar(&f.cacert, "cacert", "", "PEM file of the CA that signed etcd's certificate (ETCD_CACERT)")
	p.StringVar(&f.cert, "cert", "", "PEM file of the certificate to show to etcd (ETCD_CERT)")
	p.StringVar(&f.key, "key", "", "PEM file of its key (ETCD_KEY)")
	p.BoolVar(&f.secure, "secure", false, "TLS, verified with the system's roots; https:// addresses do the same")
	p.DurationVar(&f.Timeout, "timeout", 5*time.Second, "bound of each request to etcd")
	root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "registry-address":
			name = "registry_address"
		case "username":
			name = "user"
		}
		return pflag.NormalizedName(name)
	})
}

// Check returns an error about flags that make no sense.
func (f *Flags) Check() error {
	if err := f.checkDatacenters(); err != nil {
		return err
	}
	switch {
	case f.Prefix == "":
		return errors.New("--prefix is empty")
	case f.Timeout <= 0:
		return fmt.Errorf("--timeout %s is not positive", f.Timeout)
	case strings.Contains(f.user, ":"):
		return errors.New(
			"--user takes a name only: a password on a command line can be read by everybody on the machine; use ETCD_PASSWORD, --password-file, or the prompt",
		)
	}
	return nil
}
