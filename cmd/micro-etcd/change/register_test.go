package change

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnAddressIsOneThatCanBeCalled(t *testing.T) {
	for address, good := range map[string]bool{
		"10.0.0.7:80": true, "[::1]:80": true, "host:65535": true,
		"": false, "foo": false, "foo:": false, ":80": false, "foo:http": false, "foo:0": false, "foo:65536": false,
		"::1": false, "http://foo:80": false,
	} {
		require.Equal(t, good, isHostPort(address), address)
	}
}
