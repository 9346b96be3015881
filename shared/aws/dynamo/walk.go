package dynamo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"grantline/shared/fault"
	"grantline/shared/table"
)

// Walk gives the partition keys in a stretch of a table by one Scan, which reads every item
// of the stretch and is charged for all of it; see rebuild.Walker. The items of a partition
// lie side by side, so one whose items go over a stretch's end was given before it.
func (t *Tables) Walk(ctx context.Context, in table.Table, segment, segments, limit int, after string) (partitions []string, next string, err error) {
	if !slices.Contains(table.Names, in) || limit < 1 || limit > maxPage || segments < 1 || segment < 0 || segment >= segments {
		return nil, "", bug("a walk through %s, segment %d of %d, of %d items", in, segment, segments, limit)
	}
	var last walked
	ask := &dynamodb.ScanInput{
		TableName: t.name(in), ConsistentRead: aws.Bool(true), Limit: aws.Int32(int32(limit)),
		ProjectionExpression: aws.String(attrPartition), ReturnConsumedCapacity: t.consumed(),
	}
	if segments > 1 {
		ask.Segment, ask.TotalSegments = aws.Int32(int32(segment)), aws.Int32(int32(segments)) //nolint:gosec // a few
	}
	if after != "" {
		plain, err := base64.RawURLEncoding.DecodeString(after)
		if err == nil {
			err = json.Unmarshal(plain, &last)
		}
		if err != nil || last.Partition == "" || in.Sorted() != (last.Sort != "") {
			return nil, "", fault.New(fault.Malformed, "cursor_malformed", "The cursor is not one that this walk gave out.")
		}
		ask.ExclusiveStartKey = map[string]types.AttributeValue{attrPartition: text(last.Partition)}
		if in.Sorted() {
			ask.ExclusiveStartKey[attrSort] = text(last.Sort)
		}
	}
	out, err := t.client.Scan(ctx, ask)
	if err != nil {
		return nil, "", kindOf(err)
	}
	t.read("Scan", aws.ToString(ask.TableName), out.ConsumedCapacity)
	before := last.Partition
	for _, item := range out.Items {
		if partition := textOf(item[attrPartition]); partition != before {
			partitions, before = append(partitions, partition), partition
		}
	}
	if out.LastEvaluatedKey == nil {
		return partitions, "", nil
	}
	plain, err := json.Marshal(walked{textOf(out.LastEvaluatedKey[attrPartition]), textOf(out.LastEvaluatedKey[attrSort])})
	return partitions, base64.RawURLEncoding.EncodeToString(plain), err
}

// walked is what is in the cursor of a walk: the last item that was looked at.
type walked struct {
	Partition string `json:"k"`
	Sort      string `json:"s,omitempty"`
}
