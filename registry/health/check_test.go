package health_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/prober"
	"github.com/micro-etcd/micro-etcd/registry/health"
)

// A registry hands the checks to the prober as they are.
var _ = prober.Check(health.Check{})

func TestZeroFieldsHaveDefaults(t *testing.T) {
	got := health.WithDefaults(health.TCP())[0]
	got.Probe = nil
	require.Equal(t, health.Check{
		Name: "tcp", Interval: 5 * time.Second, Timeout: 2 * time.Second, InitialDelay: time.Second,
		FailureThreshold: 3, SuccessThreshold: 2,
	}, got)
	require.Empty(t, health.WithDefaults())
}

func TestDefaultsLeaveWhatIsSet(t *testing.T) {
	c := health.Check{
		Name: "a", Interval: time.Minute, Timeout: 3 * time.Second, InitialDelay: time.Nanosecond,
		FailureThreshold: 1, SuccessThreshold: 1,
	}
	require.Equal(t, []health.Check{c}, health.WithDefaults(c))
}

func TestTheDefaultTimeoutFitsAShortInterval(t *testing.T) {
	c := health.TCP()
	c.Interval = 500 * time.Millisecond
	require.Equal(t, 500*time.Millisecond, health.WithDefaults(c)[0].Timeout)
	require.NoError(t, health.Validate(c))
}

func TestDefaultsAreCopies(t *testing.T) {
	checks := []health.Check{health.TCP()}
	health.WithDefaults(checks...)
	require.Zero(t, checks[0].Interval)
}

func TestAllKindsAreValid(t *testing.T) {
	require.NoError(t, health.Validate(
		health.TCP(), health.HTTP("/healthz"), health.HTTP(""), health.GRPC(""), health.GRPC("greeter.v1.Greeter"),
		health.Micro(nil), health.Func("disk", func(context.Context) error { return nil }),
	))
	require.NoError(t, health.Validate())
}

func TestEachKindHasItsName(t *testing.T) {
	for name, c := range map[string]health.Check{
		"tcp": health.TCP(), "http /": health.HTTP(""), "http /healthz": health.HTTP("healthz"), "grpc": health.GRPC(""),
		"grpc a.B": health.GRPC("a.B"), "micro": health.Micro(nil), "disk": health.Func("disk", nil),
	} {
		require.Equal(t, name, c.Name)
	}
}

func TestValidateNamesTheCheckAndTheMistake(t *testing.T) {
	for text, change := range map[string]func(c *health.Check){
		`invalid health check: number 2 has no name`:                                            func(c *health.Check) { c.Name = "" },
		`invalid health check "tcp": two checks have this name`:                                 func(c *health.Check) { c.Name = "tcp" },
		`invalid health check "a\nb": the name has characters that can't be printed`:            func(c *health.Check) { c.Name = "a\nb" },
		`invalid health check "a\xff": the name has characters that can't be printed`:           func(c *health.Check) { c.Name = "a\xff" },
		`invalid health check "x": Probe is nil`:                                                func(c *health.Check) { c.Probe = nil },
		`invalid health check "x": Interval -1s is negative`:                                    func(c *health.Check) { c.Interval = -time.Second },
		`invalid health check "x": Interval 5ns is less than 1ms; write 5 * time.Second, not 5`: func(c *health.Check) { c.Interval = 5 },
		`invalid health check "x": Timeout -1s is negative`:                                     func(c *health.Check) { c.Timeout = -time.Second },
		`invalid health check "x": Timeout 2ns is less than 1ms; write 5 * time.Second, not 5`:  func(c *health.Check) { c.Timeout = 2 },
		`invalid health check "x": Timeout 6s is longer than Interval 5s`:                       func(c *health.Check) { c.Timeout = 6 * time.Second },
		`invalid health check "x": InitialDelay -1s is negative`:                                func(c *health.Check) { c.InitialDelay = -time.Second },
		`invalid health check "x": FailureThreshold -1 is negative`:                             func(c *health.Check) { c.FailureThreshold = -1 },
		`invalid health check "x": SuccessThreshold -1 is negative`:                             func(c *health.Check) { c.SuccessThreshold = -1 },
	} {
		c := health.TCP()
		c.Name = "x"
		change(&c)
		err := health.Validate(health.TCP(), c)
		require.ErrorIs(t, err, health.ErrCheck)
		require.EqualError(t, err, text)
	}
}

func TestANameThatIsTooLongIsCutInTheError(t *testing.T) {
	err := health.Validate(health.HTTP("/" + strings.Repeat("x", 1000)))
	require.ErrorContains(t, err, "the name has 1006 bytes, more than 200")
	require.Less(t, len(err.Error()), 300)
}

func TestAFuncIsNotToldTheAddress(t *testing.T) {
	full := errors.New("full")
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "value")
	c := health.Func("disk", func(ctx context.Context) error {
		require.Equal(t, "value", ctx.Value(key{}))
		return full
	})
	require.ErrorIs(t, c.Probe(ctx, "10.0.0.1:80"), full)
}

func TestAFuncWithoutAFunctionIsInvalid(t *testing.T) {
	require.EqualError(t, health.Validate(health.Func("disk", nil)), `invalid health check "disk": Probe is nil`)
}
