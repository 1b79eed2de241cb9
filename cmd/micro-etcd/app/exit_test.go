package app

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheWorstOfTwoErrorsEndsACommand(t *testing.T) {
	failed := Join(No("declined"), errors.New("broken"))
	require.Equal(t, ExitFailed, ExitOf(failed).Code)
	require.EqualError(t, failed, "declined; broken")
	require.Equal(t, ExitNo, ExitOf(Join(nil, No("declined"))).Code)
	require.NoError(t, Join(nil, nil))
}
