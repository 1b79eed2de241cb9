package fake

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// The fake is part of the tests of another module, which has no etcd: so that runs the
// comparison, and this gives it one.
func TestTheFakeAnswersAsEtcdDoes(t *testing.T) {
	server := etcdtest.Start(t)
	test := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-tags=realetcd", "-run=^TestTheFakeAnswersAsEtcdDoes$", ".")
	test.Dir = "../../registry/etcd"
	test.Env = append(os.Environ(), "REAL_ETCD="+server.Endpoint())
	output, err := test.CombinedOutput()
	t.Logf("%s", output)
	require.NoError(t, err)
	require.Contains(t, string(output), "--- PASS: TestTheFakeAnswersAsEtcdDoes", "it did run")
}
