package catalog

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestANoticeIsReadAsItWasWritten(t *testing.T) {
	at := time.Date(2026, 11, 29, 4, 0, 0, 0, time.UTC)
	record, err := Encode(recordOf(&Service{Name: "greeter", Version: "<1>", Nodes: []*Node{{Id: "1"}}}))
	require.NoError(t, err)
	for _, n := range []Notice{
		{Reason: `check "tcp": refused`, Since: at, Record: record},
		{Reason: "<deploy>", By: "alice@ops", Since: at, Until: at.Add(time.Minute), Acknowledged: at.Add(1), Record: record},
	} {
		value, err := EncodeNotice(n)
		require.NoError(t, err)
		require.False(t, json.Valid(value), "who takes any object for a service must skip it")
		got, err := DecodeNotice(value)
		require.NoError(t, err)
		n.Format = 1
		require.Equal(t, n, *got)
		require.Equal(t, string(record), string(got.Record), "byte for byte, so that its owner knows it again")
	}
}

func TestWhatIsNoNoticeIsAnError(t *testing.T) {
	for _, value := range []string{
		"", "{}", "null", "out-of-service", "out-of-service ", "out-of-service []", `out-of-service {"format":2}`,
		`out-of-service {"format":1,"since":"yesterday"}`, `out-of-service {"format":1} x`,
	} {
		_, err := DecodeNotice([]byte(value))
		require.ErrorIs(t, err, ErrMalformed, value)
	}
}

func TestANoticeHasAKeyOfItsOwnInTheServicesDirectory(t *testing.T) {
	keys := testKeys
	for _, id := range []string{"1", "topic/a-1", "/", ".out-of-service"} {
		record := keys.Node("shop/cart", id)
		notice := keys.Notice(record)
		require.Equal(t, keys.Notices("shop/cart")+id, notice)
		require.Equal(t, "/micro/registry/shop-cart/", keys.DirOf(notice))
		of, ok := keys.OfNotice(notice)
		require.True(t, ok)
		require.Equal(t, record, of)
		_, ok = keys.OfNotice(record)
		require.False(t, ok)
		require.True(t, IsNodeID(id))
	}
	for _, key := range []string{"", "/other/.out-of-service/1", keys.Notices("greeter"), keys.Dir("greeter")} {
		_, ok := keys.OfNotice(key)
		require.False(t, ok, key)
	}
	for _, id := range []string{"", "\xff", ".out-of-service/", ".out-of-service/1"} {
		require.False(t, IsNodeID(id), id)
	}
}
