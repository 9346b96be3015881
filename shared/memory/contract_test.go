package memory_test

import (
	"testing"

	"grantline/shared/dbtest"
	"grantline/shared/memory"
	"grantline/shared/table"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	dbtest.Run(t, func(*testing.T) table.Tables { return memory.New() })
}
