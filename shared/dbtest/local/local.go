// Package local gives tests the tables of DynamoDB Local. It starts nothing itself:
// the tests of a whole run share one server, and keep apart by their tables' names.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"grantline/shared/aws/dynamo"
	"grantline/shared/table"
)

// attempt is long, for the machine that tests run on may be slow.
const attempt = time.Minute

// Endpoint is the address of DynamoDB Local, from DYNAMODB_ENDPOINT. Without it the
// test is skipped.
func Endpoint(t testing.TB) string {
	t.Helper()
	endpoint := os.Getenv("DYNAMODB_ENDPOINT")
	if endpoint == "" {
		t.Skip("needs DynamoDB Local at DYNAMODB_ENDPOINT, for example http://127.0.0.1:8000; `make test` starts one")
	}
	return endpoint
}

// Config is what a client of DynamoDB Local needs.
func Config(endpoint string) aws.Config {
	return aws.Config{
		Region:       "eu-west-1",
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
}

// Open makes tables with a prefix of their own, and removes them with the test.
func Open(t testing.TB) (client *dynamodb.Client, prefix string) {
	t.Helper()
	client = dynamo.Client(Config(Endpoint(t)), attempt)
	prefix = "test-" + strings.ToLower(rand.Text()[:12]) + "-"
	t.Cleanup(func() {
		if err := removeTables(context.WithoutCancel(t.Context()), client, prefix); err != nil {
			t.Errorf("removing tables: %v", err)
		}
	})
	if err := CreateTables(t.Context(), client, prefix); err != nil {
		t.Fatalf("creating tables: %v", err)
	}
	return client, prefix
}

// CreateTables makes every table with its key and index and waits until they are
// there. Those of a deployment come from its template and not from here.
func CreateTables(ctx context.Context, client *dynamodb.Client, prefix string) error {
	for _, name := range table.Names {
		in := &dynamodb.CreateTableInput{
			TableName:   aws.String(prefix + string(name)),
			BillingMode: types.BillingModePayPerRequest,
			KeySchema:   keys("pk", ""),
		}
		attributes := []string{"pk"}
		if name.Sorted() {
			in.KeySchema = keys("pk", "sk")
			attributes = append(attributes, "sk")
		}
		if index := dynamo.Indexes[name]; index != "" {
			in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{
				IndexName: aws.String(index),
				KeySchema: keys("indexPartition", "indexSort"),
				Projection: &types.Projection{
					ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"hint"},
				},
			}}
			attributes = append(attributes, "indexPartition", "indexSort")
		}
		for _, a := range attributes {
			in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
				AttributeName: aws.String(a), AttributeType: types.ScalarAttributeTypeS,
			})
		}
		if _, err := client.CreateTable(ctx, in); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
		there := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
			o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
		})
		if err := there.Wait(ctx, &dynamodb.DescribeTableInput{TableName: in.TableName}, time.Minute); err != nil {
			return fmt.Errorf("wait for %s: %w", name, err)
		}
		if name != table.Notices {
			continue
		}
		if _, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
			TableName: in.TableName,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{
				AttributeName: aws.String("expires"), Enabled: aws.Bool(true),
			},
		}); err != nil {
			return fmt.Errorf("time to live of %s: %w", name, err)
		}
	}
	return nil
}

func keys(partition, sort string) []types.KeySchemaElement {
	schema := []types.KeySchemaElement{{AttributeName: aws.String(partition), KeyType: types.KeyTypeHash}}
	if sort != "" {
		schema = append(schema, types.KeySchemaElement{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange})
	}
	return schema
}

func removeTables(ctx context.Context, client *dynamodb.Client, prefix string) error {
	var all []error
	for _, name := range table.Names {
		_, err := client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String(prefix + string(name))})
		if _, absent := errors.AsType[*types.ResourceNotFoundException](err); err != nil && !absent {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}
