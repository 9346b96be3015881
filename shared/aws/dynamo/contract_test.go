package dynamo_test

import (
	"testing"

	"grantline/shared/aws/dynamo"
	"grantline/shared/dbtest"
	"grantline/shared/dbtest/local"
	"grantline/shared/table"
)

func TestDynamoKeepsTheContract(t *testing.T) {
	dbtest.Run(t, func(t *testing.T) table.Tables { return dynamo.New(local.Open(t)) })
}
