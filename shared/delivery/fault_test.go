package delivery_test

import (
	"errors"
	"testing"

	"grantline/shared/fault"
	"grantline/shared/memory"
)

type memoryOp = memory.Op

func broken() error {
	return fault.New(fault.Unavailable, "tables_unavailable", "The tables did not answer.")
}

func wantFault(t *testing.T, err error, code string) {
	t.Helper()
	if got := fault.Code(err); err == nil || got != code {
		t.Errorf("got %v, want %s", err, code)
	}
	if errors.Is(err, fault.Unavailable) {
		t.Errorf("got an outage, %v", err)
	}
}
