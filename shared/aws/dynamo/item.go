package dynamo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"grantline/shared/table"
)

// The attributes that are not members of Data.
const (
	attrPartition      = "pk"
	attrSort           = "sk"
	attrRevision       = "revision"
	attrSchema         = "schema"
	attrToken          = "token"
	attrIndexPartition = "indexPartition"
	attrIndexSort      = "indexSort"
	attrHint           = "hint"
	attrSealed         = "sealed"
	attrExpires        = "expires"
)

var reserved = map[string]bool{
	attrPartition: true, attrSort: true, attrRevision: true, attrSchema: true, attrToken: true,
	attrIndexPartition: true, attrIndexSort: true, attrHint: true, attrSealed: true, attrExpires: true,
}

// maxDepth is how deep objects and arrays are nested within Data at most. DynamoDB
// allows 32 levels in an item.
const maxDepth = 30

// stored is an item as it lies in DynamoDB.
type stored struct {
	table.Item
	token string // of the Commit that wrote it
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// attributes is what Commit puts for i, whose Revision is the one it will have.
func attributes(i table.Item, token string) (map[string]types.AttributeValue, error) {
	all, err := keyAttributes(i.Key)
	if err != nil {
		return nil, err
	}
	all[attrRevision] = number(i.Revision)
	all[attrSchema] = number(int64(i.Schema))
	all[attrToken] = text(token)
	if i.Index != nil {
		if Indexes[i.Key.Table] == "" {
			return nil, bug("%s has no index", i.Key.Table)
		}
		all[attrIndexPartition] = text(i.Index.Partition)
		all[attrIndexSort] = text(i.Index.Sort)
		if i.Index.Hint != "" {
			all[attrHint] = text(i.Index.Hint)
		}
	}

	if len(i.Sealed) > 0 {
		all[attrSealed] = &types.AttributeValueMemberB{Value: i.Sealed}
	}
	if !i.Expires.IsZero() {
		if i.Expires.Unix() < 1 {
			return nil, bug("an item in %s that expires before there were tables", i.Key.Table)
		}
		all[attrExpires] = number(i.Expires.Unix())
	}

	if !utf8.Valid(i.Data) {
		return nil, bug("Data of an item in %s is not UTF-8", i.Key.Table)
	}
	read := json.NewDecoder(bytes.NewReader(i.Data))
	read.UseNumber()
	var members map[string]any
	if err := read.Decode(&members); err != nil || members == nil {
		return nil, bug("Data of an item in %s is not a JSON object", i.Key.Table)
	}
	if _, err := read.Token(); err != io.EOF {
		return nil, bug("Data of an item in %s goes on after its JSON object", i.Key.Table)
	}
	for name, v := range members {
		if reserved[name] || name == "" {
			return nil, bug("Data of an item in %s has a member %q, a name that is taken", i.Key.Table, name)
		}
		if all[name], err = value(v, 1); err != nil {
			return nil, bug("Data of an item in %s: member %q: %w", i.Key.Table, name, err)
		}
	}
	return all, nil
}

// value is the attribute for what encoding/json makes of a JSON value with UseNumber.
func value(v any, depth int) (types.AttributeValue, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		return &types.AttributeValueMemberNULL{Value: true}, nil
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}, nil
	case json.Number:
		return &types.AttributeValueMemberN{Value: v.String()}, nil
	case string:
		return text(v), nil
	case []any:
		list := make([]types.AttributeValue, len(v))
		for n, v := range v {
			var err error
			if list[n], err = value(v, depth+1); err != nil {
				return nil, err
			}
		}
		return &types.AttributeValueMemberL{Value: list}, nil
	case map[string]any:
		members := make(map[string]types.AttributeValue, len(v))
		for name, v := range v {
			if name == "" {
				return nil, fmt.Errorf("a member without a name")
			}
			var err error
			if members[name], err = value(v, depth+1); err != nil {
				return nil, err
			}
		}
		return &types.AttributeValueMemberM{Value: members}, nil
	default:
		return nil, fmt.Errorf("a %T", v)
	}
}

// parseItem reads an item of t. An error means that something else than Commit wrote it.
func parseItem(t table.Table, all map[string]types.AttributeValue) (stored, error) {
	var i stored
	i.Key = keyOf(t, all)
	i.token = textOf(all[attrToken])
	var err error
	if i.Revision, err = strconv.ParseInt(numberOf(all[attrRevision]), 10, 64); err != nil || i.Revision < 1 {
		return stored{}, fmt.Errorf("dynamo: an item in %s has no revision", t)
	}
	if i.Schema, err = strconv.Atoi(numberOf(all[attrSchema])); err != nil {
		return stored{}, fmt.Errorf("dynamo: an item in %s has no schema", t)
	}
	i.Index = indexOf(all)
	if sealed, ok := all[attrSealed].(*types.AttributeValueMemberB); ok {
		i.Sealed = sealed.Value
	}
	if seconds := numberOf(all[attrExpires]); seconds != "" {
		at, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil {
			return stored{}, fmt.Errorf("dynamo: an item in %s expires at no second", t)
		}
		i.Expires = time.Unix(at, 0).UTC()
	}

	members := map[string]any{}
	for name, a := range all {
		if reserved[name] {
			continue
		}
		if members[name], err = plain(a); err != nil {
			return stored{}, fmt.Errorf("dynamo: an item in %s: attribute %q: %w", t, name, err)
		}
	}
	var data bytes.Buffer
	write := json.NewEncoder(&data)
	write.SetEscapeHTML(false)
	if err := write.Encode(members); err != nil {
		return stored{}, fmt.Errorf("dynamo: an item in %s: %w", t, err)
	}
	i.Data = bytes.TrimSuffix(data.Bytes(), []byte("\n"))
	return i, nil
}

func keyOf(t table.Table, all map[string]types.AttributeValue) table.Key {
	return table.Key{Table: t, Partition: textOf(all[attrPartition]), Sort: textOf(all[attrSort])}
}

func indexOf(all map[string]types.AttributeValue) *table.Index {
	if _, ok := all[attrIndexPartition]; !ok {
		return nil
	}
	return &table.Index{
		Partition: textOf(all[attrIndexPartition]),
		Sort:      textOf(all[attrIndexSort]),
		Hint:      textOf(all[attrHint]),
	}
}

// plain is the inverse of value.
func plain(a types.AttributeValue) (any, error) {
	switch a := a.(type) {
	case *types.AttributeValueMemberNULL:
		return nil, nil
	case *types.AttributeValueMemberBOOL:
		return a.Value, nil
	case *types.AttributeValueMemberN:
		return json.Number(a.Value), nil
	case *types.AttributeValueMemberS:
		return a.Value, nil
	case *types.AttributeValueMemberL:
		list := make([]any, len(a.Value))
		for n, v := range a.Value {
			var err error
			if list[n], err = plain(v); err != nil {
				return nil, err
			}
		}
		return list, nil
	case *types.AttributeValueMemberM:
		members := make(map[string]any, len(a.Value))
		for name, v := range a.Value {
			var err error
			if members[name], err = plain(v); err != nil {
				return nil, err
			}
		}
		return members, nil
	default:
		return nil, fmt.Errorf("a %T, which JSON cannot say", a)
	}
}

func textOf(a types.AttributeValue) string {
	if s, ok := a.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func numberOf(a types.AttributeValue) string {
	if n, ok := a.(*types.AttributeValueMemberN); ok {
		return n.Value
	}
	return ""
}
