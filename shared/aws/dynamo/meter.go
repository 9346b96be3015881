package dynamo

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"grantline/shared/table"
)

// consumed is what to ask for: nothing without a meter.
func (t *Tables) consumed() types.ReturnConsumedCapacity {
	if t.meter == nil {
		return ""
	}
	return types.ReturnConsumedCapacityIndexes
}

func (t *Tables) read(operation, name string, c *types.ConsumedCapacity) {
	if t.meter != nil && c != nil {
		own, index := units(c)
		t.meter(operation, t.own(name), own, 0, index)
	}
}

func (t *Tables) wrote(operation, name string, c *types.ConsumedCapacity) {
	if t.meter != nil && c != nil {
		own, index := units(c)
		t.meter(operation, t.own(name), 0, own, index)
	}
}

func (t *Tables) own(name string) table.Table {
	return table.Table(strings.TrimPrefix(name, t.prefix))
}

// units tells what a table consumed itself from what its index did.
func units(c *types.ConsumedCapacity) (own, index float64) {
	for _, i := range c.GlobalSecondaryIndexes {
		index += aws.ToFloat64(i.CapacityUnits)
	}
	return aws.ToFloat64(c.CapacityUnits) - index, index
}
