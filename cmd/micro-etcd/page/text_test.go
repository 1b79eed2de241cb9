package page

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestLabelsStayDifferent(t *testing.T) {
	long := strings.Repeat("ä", maxLabel)
	require.Equal(t, "greeter", label("greeter"))
	require.NotEqual(t, label(long+"1"), label(long+"2"))
	require.NotEqual(t, label("\xff"), label("\xfe"))
	for _, name := range []string{long, "\xff\xfe", strings.Repeat("\xe2\x82", maxLabel)} {
		require.True(t, utf8.ValidString(label(name)))
		require.LessOrEqual(t, len(label(name)), 3*maxLabel)
	}
}

func TestClippedTextsSayHowLongTheyWere(t *testing.T) {
	require.Equal(t, "short", clip("short"))
	require.True(t, strings.HasSuffix(clip(strings.Repeat("x", 1<<20)), "… (1048576 bytes)"))
	require.LessOrEqual(t, len(clip(strings.Repeat("€", maxText))), maxText+40)
}

func TestVersionsAreOrderedAsPeopleDo(t *testing.T) {
	want := []string{"", "1.2", "1.9", "1.10", "1.10.1", "2", "2-rc", "latest", "v1", "v2", "v10"}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, natural)
	require.Equal(t, want, got)
	require.NotZero(t, natural("1", "01"))
	require.Negative(t, natural("99999999999999999999998", "99999999999999999999999"))
}

func TestSignatures(t *testing.T) {
	require.Empty(t, signature(nil))
	request := &catalog.Value{Type: "Request", Values: []*catalog.Value{
		{Name: "name", Type: "string"}, nil, {Name: "int64", Type: "int64"},
	}}
	require.Equal(t, "Request {\n  name string\n  int64\n}", signature(request))
	deep := &catalog.Value{Name: "a", Type: "T"}
	for range 1000 {
		deep = &catalog.Value{Name: "a", Type: "T", Values: []*catalog.Value{deep}}
	}
	require.Less(t, len(signature(deep)), 500)
	wide := &catalog.Value{Type: "T"}
	for range 10_000 {
		wide.Values = append(wide.Values, &catalog.Value{Name: "a", Type: "T"})
	}
	require.Less(t, len(signature(wide)), 5000)
}

func TestPairsAreOrderedAndBounded(t *testing.T) {
	many := make(map[string]string)
	for range 10 * maxPairs {
		many[strings.Repeat("k", 1+rand.IntN(50))+string(rune('a'+rand.IntN(26)))] = "v"
	}
	all := pairs(many)
	require.Len(t, all, min(len(many), maxPairs+1))
	require.True(t, slices.IsSortedFunc(all[:len(all)-1], func(a, b [2]string) int { return strings.Compare(a[0], b[0]) }))
}

func TestAHistoryIsBoundedAndKeepsDips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h history
		for i := range 10_000 {
			h.note(time.Now(), 5)
			if i%7 == 0 {
				h.note(time.Now(), 2)
				h.note(time.Now(), 5)
			}
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, len(h), int(historySpan/historyStep)+2)
		require.EqualValues(t, 5, h[len(h)-1][1])
		require.True(t, slices.ContainsFunc(h, func(p point) bool { return p[2] == 2 }))
		require.LessOrEqual(t, h[0][0], time.Now().Add(-historySpan+historyStep).Unix(), "something to begin the plot with")
	})
}
