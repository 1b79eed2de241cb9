package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Binaries are built once, from the versions in go.mod, into the checkout's .bin, as seen from the tests in test/chaos.
const Binaries = "../../.bin/chaos"

var (
	etcdBinary = sync.OnceValues(func() (string, error) { return Build("etcd", "go.etcd.io/etcd/server/v3") })
	utlBinary  = sync.OnceValues(func() (string, error) { return Build("etcdutl", "go.etcd.io/etcd/etcdutl/v3") })
)

// Build builds a program of the module's or its dependencies' into Binaries, and returns its path.
func Build(name, pkg string) (string, error) {
	path, err := filepath.Abs(filepath.Join(Binaries, name))
	if err != nil {
		return "", err
	}
	// Another run of the tests may execute it now, and the linker would write into it.
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", fresh, pkg).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return path, os.Rename(fresh, path)
}
