package dynamo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"grantline/shared/fault"
	"grantline/shared/table"
)

const maxPage = 1000 // by the port

// Query reads one page by one call. It asks for one item more than the limit, so that
// a page that is just full does not promise another. A page also ends where DynamoDB
// ends it, at about 1 MB, and only then may an empty one follow.
func (t *Tables) Query(ctx context.Context, q table.Query) (table.Page, error) {
	switch {
	case !slices.Contains(table.Names, q.Table):
		return table.Page{}, bug("there is no table %q", q.Table)
	case q.Indexed && Indexes[q.Table] == "":
		return table.Page{}, bug("%s has no index to query", q.Table)
	case !q.Indexed && !q.Table.Sorted():
		return table.Page{}, bug("%s has no sort key to query by", q.Table)
	case q.Partition == "":
		return table.Page{}, bug("a query of %s without a partition", q.Table)
	case q.Limit < 1 || q.Limit > maxPage:
		return table.Page{}, bug("a query of %s with limit %d, not 1 to %d", q.Table, q.Limit, maxPage)
	}
	start, err := startKey(q)
	if err != nil {
		return table.Page{}, err
	}
	if q.To != "" && q.From > q.To {
		return table.Page{}, nil // which DynamoDB would call an error
	}

	partition, sort := attrPartition, attrSort
	in := &dynamodb.QueryInput{
		TableName:                 t.name(q.Table),
		ExpressionAttributeValues: map[string]types.AttributeValue{":partition": text(q.Partition)},
		ExclusiveStartKey:         start,
		ScanIndexForward:          aws.Bool(!q.Backward),
		Limit:                     aws.Int32(int32(q.Limit) + 1),
		ReturnConsumedCapacity:    t.consumed(),
	}
	if q.Indexed {
		partition, sort = attrIndexPartition, attrIndexSort
		in.IndexName = aws.String(Indexes[q.Table])
	} else {
		in.ConsistentRead = aws.Bool(true)
	}
	only := partition + " = :partition"
	if q.From != "" {
		in.ExpressionAttributeValues[":from"] = text(q.From)
	}
	if q.To != "" {
		in.ExpressionAttributeValues[":to"] = text(q.To)
	}
	switch {
	case q.From != "" && q.To != "":
		only += " AND " + sort + " BETWEEN :from AND :to"
	case q.From != "":
		only += " AND " + sort + " >= :from"
	case q.To != "":
		only += " AND " + sort + " <= :to"
	}
	in.KeyConditionExpression = aws.String(only)

	out, err := t.client.Query(ctx, in)
	if err != nil {
		return table.Page{}, kindOf(err)
	}
	t.read("Query", aws.ToString(in.TableName), out.ConsumedCapacity)

	var page table.Page
	for n, all := range out.Items {
		if n == q.Limit {
			page.Next = cursorAt(q, out.Items[n-1])
			return page, nil
		}
		if q.Indexed {
			page.Items = append(page.Items, table.Item{Key: keyOf(q.Table, all), Index: indexOf(all)})
			continue
		}
		is, err := parseItem(q.Table, all)
		if err != nil {
			return table.Page{}, err
		}
		page.Items = append(page.Items, is.Item)
	}
	if out.LastEvaluatedKey != nil {
		page.Next = cursorAt(q, out.LastEvaluatedKey)
	}
	return page, nil
}

// cursor is what is in a Next: where the page ended, without the partition, which is
// the query's. So one that was tampered with leads nowhere else.
type cursor struct {
	Sort      string `json:"s"`           // the sort key, or that in the index
	Partition string `json:"k,omitempty"` // the item's own partition key, in an index
	Own       string `json:"o,omitempty"` // and its own sort key, if its table has them
}

func cursorAt(q table.Query, all map[string]types.AttributeValue) string {
	c := cursor{Sort: textOf(all[attrSort])}
	if q.Indexed {
		c = cursor{Sort: textOf(all[attrIndexSort]), Partition: textOf(all[attrPartition]), Own: textOf(all[attrSort])}
	}
	plain, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("dynamo: two strings could not be written: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(plain)
}

// startKey reads q.After. It may have come from a caller's request, so one that cannot
// be read is the caller's mistake and not a bug.
func startKey(q table.Query) (map[string]types.AttributeValue, error) {
	if q.After == "" {
		return nil, nil
	}
	var c cursor
	plain, err := base64.RawURLEncoding.DecodeString(q.After)
	if err == nil {
		err = json.Unmarshal(plain, &c)
	}
	outside := c.Sort == "" || c.Sort < q.From || q.To != "" && c.Sort > q.To
	if err != nil || outside || q.Indexed != (c.Partition != "") || (q.Indexed && q.Table.Sorted()) != (c.Own != "") {
		return nil, fault.New(fault.Malformed, "cursor_malformed", "The cursor is not one that this list gave out.")
	}
	if q.Indexed {
		key := map[string]types.AttributeValue{
			attrPartition:      text(c.Partition),
			attrIndexPartition: text(q.Partition),
			attrIndexSort:      text(c.Sort),
		}
		if c.Own != "" {
			key[attrSort] = text(c.Own)
		}
		return key, nil
	}
	return map[string]types.AttributeValue{attrPartition: text(q.Partition), attrSort: text(c.Sort)}, nil
}
