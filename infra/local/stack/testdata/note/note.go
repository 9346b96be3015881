// Package note is the test functions' one table: who wrote what.
package note

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Put writes a note under who, in the order of what.
func Put(ctx context.Context, who, what string) error {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	_, err = dynamodb.NewFromConfig(c).PutItem(ctx, &dynamodb.PutItemInput{
		TableName: aws.String(os.Getenv("TABLE")),
		Item: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: who}, "sk": &types.AttributeValueMemberS{Value: what},
		},
	})
	return err
}

// List reads all notes of who.
func List(ctx context.Context, who string) ([]string, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	out, err := dynamodb.NewFromConfig(c).Query(ctx, &dynamodb.QueryInput{
		TableName: aws.String(os.Getenv("TABLE")), ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :who"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":who": &types.AttributeValueMemberS{Value: who}},
	})
	if err != nil {
		return nil, err
	}
	list := []string{}
	for _, item := range out.Items {
		if what, ok := item["sk"].(*types.AttributeValueMemberS); ok {
			list = append(list, what.Value)
		}
	}
	return list, nil
}
