package template

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// deepest bounds how far intrinsic functions may be nested.
const deepest = 50

type noValueType struct{}

// noValue is AWS::NoValue: a property that is not there.
var noValue = noValueType{}

// scope is what names mean inside one template.
type scope struct {
	parameters map[string]string
	conditions map[string]any
	mappings   map[string]any
	resources  map[string]any
	queueURL   func(id string) string
	// secretsAreEmpty: see Template.Environment.
	secretsAreEmpty bool
}

func newScope(document map[string]any, given map[string]string) scope {
	s := scope{
		parameters: map[string]string{},
		conditions: child(document, "Conditions"),
		mappings:   child(document, "Mappings"),
		resources:  child(document, "Resources"),
	}
	for name := range child(document, "Parameters") {
		s.parameters[name] = ""
		if text, err := scalar(child(child(document, "Parameters"), name)["Default"]); err == nil {
			s.parameters[name] = text
		}
		if value, ok := given[name]; ok {
			s.parameters[name] = value
		}
	}
	return s
}

// resolve evaluates the intrinsic functions in value.
func (s scope) resolve(value any, depth int) (any, error) {
	if depth > deepest {
		return nil, fmt.Errorf("nested deeper than %d", deepest)
	}
	switch v := value.(type) {
	case map[string]any:
		if name, argument, ok := intrinsic(v); ok {
			return s.call(name, argument, depth+1)
		}
		out := make(map[string]any, len(v))
		for k, item := range v {
			r, err := s.resolve(item, depth+1)
			if err != nil {
				return nil, err
			}
			if r != noValue {
				out[k] = r
			}
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			r, err := s.resolve(item, depth+1)
			if err != nil {
				return nil, err
			}
			if r != noValue {
				out = append(out, r)
			}
		}
		return out, nil
	default:
		return value, nil
	}
}

func intrinsic(m map[string]any) (name string, argument any, ok bool) {
	if len(m) != 1 {
		return "", nil, false
	}
	for k, v := range m {
		if k == "Ref" || strings.HasPrefix(k, "Fn::") {
			return k, v, true
		}
	}
	return "", nil, false
}

func (s scope) call(name string, argument any, depth int) (any, error) {
	switch name {
	case "Ref":
		id, _ := argument.(string)
		return s.ref(id)
	case "Fn::GetAtt":
		list, ok := argument.([]any)
		if !ok || len(list) != 2 {
			return nil, fmt.Errorf("GetAtt: want a resource and an attribute")
		}
		return s.attribute(fmt.Sprint(list[0]), fmt.Sprint(list[1]))
	case "Fn::Sub":
		return s.sub(argument, depth)
	case "Fn::If":
		list, ok := argument.([]any)
		if !ok || len(list) != 3 {
			return nil, fmt.Errorf("If: want a condition and two values")
		}
		holds, err := s.condition(fmt.Sprint(list[0]), depth)
		if err != nil {
			return nil, err
		}
		if holds {
			return s.resolve(list[1], depth)
		}
		return s.resolve(list[2], depth)
	}
	resolved, err := s.resolve(argument, depth)
	if err != nil {
		return nil, err
	}
	list, _ := resolved.([]any)
	switch name {
	case "Fn::Join":
		if len(list) != 2 {
			return nil, fmt.Errorf("Join: want a separator and a list")
		}
		parts, err := scalars(list[1])
		return strings.Join(parts, fmt.Sprint(list[0])), err
	case "Fn::Select":
		if len(list) == 2 {
			parts, err := scalars(list[1])
			i, numberErr := strconv.Atoi(fmt.Sprint(list[0]))
			if err == nil && numberErr == nil && i >= 0 && i < len(parts) {
				return parts[i], nil
			}
		}
		return nil, fmt.Errorf("Select: want an index and a list that has it")
	case "Fn::Split":
		if len(list) != 2 {
			return nil, fmt.Errorf("Split: want a separator and a text")
		}
		var parts []any
		for part := range strings.SplitSeq(fmt.Sprint(list[1]), fmt.Sprint(list[0])) {
			parts = append(parts, part)
		}
		return parts, nil
	case "Fn::FindInMap":
		if len(list) == 3 {
			found := child(child(s.mappings, fmt.Sprint(list[0])), fmt.Sprint(list[1]))
			if value, ok := found[fmt.Sprint(list[2])]; ok {
				return value, nil
			}
		}
		return nil, fmt.Errorf("FindInMap: %v is not there", list)
	default:
		return nil, fmt.Errorf("%s is not understood", name)
	}
}

func (s scope) ref(id string) (any, error) {
	switch id {
	case "AWS::NoValue":
		return noValue, nil
	case "AWS::Region":
		return Region, nil
	case "AWS::AccountId":
		return Account, nil
	case "AWS::StackName":
		return StackName, nil
	case "AWS::Partition":
		return "aws", nil
	case "AWS::URLSuffix":
		return "amazonaws.com", nil
	case "AWS::StackId":
		return "arn:aws:cloudformation:" + Region + ":" + Account + ":stack/" + StackName + "/local", nil
	}
	if value, ok := s.parameters[id]; ok {
		if s.secretsAreEmpty && isReference(id, value) {
			return "", nil
		}
		return value, nil
	}
	switch s.kind(id) {
	case "":
		return nil, fmt.Errorf("%s is neither a parameter nor a resource", id)
	case "AWS::DynamoDB::Table":
		return s.physicalName(id, "TableName")
	case "AWS::SQS::Queue":
		if s.queueURL != nil {
			return s.queueURL(id), nil
		}
		return s.queueName(id), nil
	case "AWS::Serverless::Function":
		return s.functionName(id), nil
	default:
		return id, nil
	}
}

// isReference says whether a parameter's value points to a secret rather than being one.
func isReference(name, value string) bool {
	return (strings.HasSuffix(name, "Arn") || strings.HasSuffix(name, "Name")) &&
		(strings.HasPrefix(value, "arn:") || strings.HasPrefix(value, "/"))
}

func (s scope) attribute(id, attribute string) (any, error) {
	kind := s.kind(id)
	arn := func(service, rest string) string {
		return "arn:aws:" + service + ":" + Region + ":" + Account + ":" + rest
	}
	switch {
	case kind == "":
		return nil, fmt.Errorf("%s is no resource", id)
	case kind == "AWS::SQS::Queue" && attribute == "Arn":
		return arn("sqs", s.queueName(id)), nil
	case kind == "AWS::SQS::Queue" && attribute == "QueueName":
		return s.queueName(id), nil
	case kind == "AWS::SQS::Queue" && attribute == "QueueUrl":
		return s.ref(id)
	case kind == "AWS::DynamoDB::Table" && attribute == "Arn":
		name, err := s.physicalName(id, "TableName")
		return arn("dynamodb", "table/"+name), err
	case kind == "AWS::Serverless::Function" && attribute == "Arn":
		return arn("lambda", "function:"+s.functionName(id)), nil
	case attribute == "Arn":
		_, service, _ := strings.Cut(kind, "::")
		service, _, _ = strings.Cut(service, "::")
		return arn(strings.ToLower(service), id), nil
	default:
		return id + "." + attribute, nil
	}
}

var placeholder = regexp.MustCompile(`\$\{(!?)([^}]*)\}`)

func (s scope) sub(argument any, depth int) (any, error) {
	text, ok := argument.(string)
	own := map[string]any{}
	if list, isList := argument.([]any); isList && len(list) == 2 {
		text, ok = list[0].(string)
		own, _ = list[1].(map[string]any)
	}
	if !ok {
		return nil, fmt.Errorf("Sub: want a text")
	}
	var failed error
	out := placeholder.ReplaceAllStringFunc(text, func(match string) string {
		parts := placeholder.FindStringSubmatch(match)
		if parts[1] == "!" {
			return "${" + parts[2] + "}"
		}
		var value any
		var err error
		if given, there := own[parts[2]]; there {
			value, err = s.resolve(given, depth)
		} else if id, attribute, dotted := strings.Cut(parts[2], "."); dotted {
			value, err = s.attribute(id, attribute)
		} else {
			value, err = s.ref(parts[2])
		}
		filled, scalarErr := scalar(value)
		failed = errors.Join(failed, err, scalarErr)
		return filled
	})
	return out, failed
}

func (s scope) condition(name string, depth int) (bool, error) {
	body, ok := s.conditions[name]
	if !ok {
		return false, fmt.Errorf("no condition %s", name)
	}
	return s.holds(body, depth+1)
}

func (s scope) holds(body any, depth int) (bool, error) {
	if depth > deepest {
		return false, fmt.Errorf("conditions nested deeper than %d", deepest)
	}
	m, ok := body.(map[string]any)
	if !ok || len(m) != 1 {
		return false, fmt.Errorf("a condition must be one function")
	}
	for name, argument := range m {
		if name == "Condition" {
			return s.condition(fmt.Sprint(argument), depth)
		}
		list, ok := argument.([]any)
		if !ok || len(list) == 0 {
			return false, fmt.Errorf("%s: want a list", name)
		}
		switch name {
		case "Fn::Equals":
			resolved, err := s.resolve(list, depth)
			if err != nil {
				return false, err
			}
			sides, err := scalars(resolved)
			return len(sides) == 2 && sides[0] == sides[1], err
		case "Fn::Not":
			holds, err := s.holds(list[0], depth+1)
			return !holds, err
		case "Fn::And", "Fn::Or":
			for _, item := range list {
				holds, err := s.holds(item, depth+1)
				if err != nil || holds == (name == "Fn::Or") {
					return holds, err
				}
			}
			return name == "Fn::And", nil
		default:
			return false, fmt.Errorf("%s is no condition", name)
		}
	}
	return false, nil
}

func (s scope) kind(id string) string {
	kind, _ := child(s.resources, id)["Type"].(string)
	return kind
}

// physicalName is what a property names a resource, or else its logical id.
func (s scope) physicalName(id, property string) (string, error) {
	raw, ok := child(child(s.resources, id), "Properties")[property]
	if !ok {
		return id, nil
	}
	value, err := s.resolve(raw, 0)
	if err != nil {
		return "", err
	}
	return scalar(value)
}

// queueName falls back to the logical id when the name cannot be resolved; the template's
// own linter says what is wrong with it.
func (s scope) queueName(id string) string {
	name, err := s.physicalName(id, "QueueName")
	if err != nil {
		return id
	}
	return name
}

func (s scope) functionName(id string) string {
	folder, _ := child(child(s.resources, id), "Properties")["CodeUri"].(string)
	folder = strings.TrimSuffix(folder, "/")
	return folder[strings.LastIndex(folder, "/")+1:]
}

// queueID finds a queue of this template by its ARN; "" when there is none.
func (s scope) queueID(arn string) string {
	name := arn[strings.LastIndex(arn, ":")+1:]
	for _, id := range slices.Sorted(maps.Keys(s.resources)) {
		if s.kind(id) == "AWS::SQS::Queue" && s.queueName(id) == name {
			return id
		}
	}
	return ""
}

func child(m map[string]any, name string) map[string]any {
	c, _ := m[name].(map[string]any)
	return c
}

func scalar(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case nil, noValueType:
		return "", nil
	default:
		return "", fmt.Errorf("want a text, got %T", value)
	}
}

func scalars(value any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("want a list, got %T", value)
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		text, err := scalar(item)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}
