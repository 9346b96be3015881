package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"grantline/shared/fault"
	"grantline/shared/table"
)

const (
	ifAbsent = "attribute_not_exists(" + attrPartition + ")"
	ifAsRead = attrRevision + " = :read"
)

// Commit makes the writes happen together or not at all. See the package's comment on
// what one costs, and on repeated and lost requests.
func (t *Tables) Commit(ctx context.Context, writes ...table.Write) error {
	// 26 random characters: ClientRequestToken may have 36.
	token := rand.Text()
	switch len(writes) {
	case 0:
		return bug("a Commit of nothing")
	case 1:
		return t.commitOne(ctx, writes[0], token)
	default:
		return t.commitAll(ctx, writes, token)
	}
}

// condition checks a write and gives the condition it is made on.
func condition(w table.Write) (string, map[string]types.AttributeValue, error) {
	switch w.Change {
	case table.Insert:
		if w.Item.Revision != 0 {
			return "", nil, bug("an Insert into %s of an item read at revision %d", w.Item.Key.Table, w.Item.Revision)
		}
		return ifAbsent, nil, nil
	case table.Replace, table.Remove, table.Check:
		if w.Item.Revision < 1 {
			return "", nil, bug("revision %d of an item in %s was never read", w.Item.Revision, w.Item.Key.Table)
		}
		return ifAsRead, map[string]types.AttributeValue{":read": number(w.Item.Revision)}, nil
	default:
		return "", nil, bug("there is no change %d", w.Change)
	}
}

// written is the item that an Insert or Replace leaves behind.
func written(i table.Item, token string) (map[string]types.AttributeValue, error) {
	i.Revision++
	return attributes(i, token)
}

// commitOne makes a lone write, at half the price of one in a transaction.
func (t *Tables) commitOne(ctx context.Context, w table.Write, token string) error {
	only, values, err := condition(w)
	if err != nil {
		return err
	}
	var tries repeats
	name := t.name(w.Item.Key.Table)
	switch w.Change {
	case table.Check:
		return t.check(ctx, w.Item)
	case table.Remove:
		key, err := keyAttributes(w.Item.Key)
		if err != nil {
			return err
		}
		out, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName:                           name,
			Key:                                 key,
			ConditionExpression:                 aws.String(only),
			ExpressionAttributeValues:           values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			ReturnConsumedCapacity:              t.consumed(),
		}, tries.watched)
		if err != nil {
			return t.overtaken(err, w, token, &tries)
		}
		t.wrote("DeleteItem", *name, out.ConsumedCapacity)
	case table.Insert, table.Replace:
		item, err := written(w.Item, token)
		if err != nil {
			return err
		}
		out, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName:                           name,
			Item:                                item,
			ConditionExpression:                 aws.String(only),
			ExpressionAttributeValues:           values,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			ReturnConsumedCapacity:              t.consumed(),
		}, tries.watched)
		if err != nil {
			return t.overtaken(err, w, token, &tries)
		}
		t.wrote("PutItem", *name, out.ConsumedCapacity)
	}
	return nil
}

// check is a lone Check. It writes nothing, so a strong read says as much as a
// transaction would: that at one instant within the call the item was as it was read.
func (t *Tables) check(ctx context.Context, i table.Item) error {
	is, err := t.get(ctx, i.Key, true)
	switch {
	case errors.Is(err, fault.NotFound):
		return &table.Conflict{Found: []*table.Item{nil}}
	case err != nil:
		return err
	case is.Revision != i.Revision:
		return &table.Conflict{Found: []*table.Item{&is}}
	}
	return nil
}

// overtaken says what the error of a lone write means. If an earlier attempt of the same
// call may have been carried out, then a condition that fails proves nothing, unless
// the item shows that we wrote it: it may be our own write that was overtaken since.
func (t *Tables) overtaken(err error, w table.Write, token string, tries *repeats) error {
	found := []*table.Item{nil}
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		if failed.Item != nil {
			is, err := parseItem(w.Item.Key.Table, failed.Item)
			if err != nil {
				return err
			}
			if is.token == token {
				return nil
			}
			found[0] = &is.Item
		}
	} else if _, ok := errors.AsType[*types.TransactionConflictException](err); !ok {
		return kindOf(err)
	}
	if tries.lost {
		return unavailable(fmt.Errorf("an attempt whose answer was lost was overtaken, or never made: %w", err))
	}
	return &table.Conflict{Found: found}
}

// commitAll makes several writes in one transaction.
func (t *Tables) commitAll(ctx context.Context, writes []table.Write, token string) error {
	all := make([]types.TransactWriteItem, len(writes))
	seen := make(map[table.Key]bool, len(writes))
	for n, w := range writes {
		// DynamoDB refuses this as well; DynamoDB Local calls the second a failed condition.
		if seen[w.Item.Key] {
			return bug("a Commit with two writes on one item of %s", w.Item.Key.Table)
		}
		seen[w.Item.Key] = true
		var err error
		if all[n], err = t.part(w, token); err != nil {
			return err
		}
	}
	out, err := t.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems:          all,
		ClientRequestToken:     aws.String(token),
		ReturnConsumedCapacity: t.consumed(),
	})
	if err != nil {
		return cancelled(err, writes, token)
	}
	for _, c := range out.ConsumedCapacity {
		t.wrote("TransactWriteItems", aws.ToString(c.TableName), &c)
	}
	return nil
}

// part is a write as a part of a transaction.
func (t *Tables) part(w table.Write, token string) (types.TransactWriteItem, error) {
	only, values, err := condition(w)
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	name := t.name(w.Item.Key.Table)
	const old = types.ReturnValuesOnConditionCheckFailureAllOld
	if w.Change == table.Insert || w.Change == table.Replace {
		item, err := written(w.Item, token)
		if err != nil {
			return types.TransactWriteItem{}, err
		}
		return types.TransactWriteItem{Put: &types.Put{
			TableName: name, Item: item, ConditionExpression: aws.String(only),
			ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: old,
		}}, nil
	}
	key, err := keyAttributes(w.Item.Key)
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	if w.Change == table.Remove {
		return types.TransactWriteItem{Delete: &types.Delete{
			TableName: name, Key: key, ConditionExpression: aws.String(only),
			ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: old,
		}}, nil
	}
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: name, Key: key, ConditionExpression: aws.String(only),
		ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: old,
	}}, nil
}

// cancelled says what the error of a transaction means, from the reasons that DynamoDB
// gives, one for each write in order ("TransactWriteItems", CancellationReasons).
func cancelled(err error, writes []table.Write, token string) error {
	failed, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok || len(failed.CancellationReasons) != len(writes) {
		return kindOf(err)
	}
	conflict := &table.Conflict{Found: make([]*table.Item, len(writes))}
	overtaken := false
	for n, reason := range failed.CancellationReasons {
		switch aws.ToString(reason.Code) {
		case "ValidationError", "ItemCollectionSizeLimitExceeded":
			return bug("write %d of %d, in %s: %s", n+1, len(writes), writes[n].Item.Key.Table, aws.ToString(reason.Message))
		case "TransactionConflict":
			overtaken = true
		case "ConditionalCheckFailed":
			overtaken = true
			if reason.Item == nil {
				continue
			}
			is, err := parseItem(writes[n].Item.Key.Table, reason.Item)
			if err != nil {
				return err
			}
			if is.token == token {
				return nil
			}
			conflict.Found[n] = &is.Item
		}
	}
	if !overtaken {
		return unavailable(err) // throttled, or a reason that is not known
	}
	return conflict
}
