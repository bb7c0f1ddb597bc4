// Produces a hundred records, reads them as a group, commits, rewinds, reads them again.
//
//	go run . 127.0.0.1:9600
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "example.org/start/logd_proto/v1"
)

const group = "start-go"

var topic = &pb.TopicRef{Name: "start-go"}

func main() {
	connection, err := grpc.NewClient(os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(80<<20)))
	check(err)
	defer connection.Close()
	topics := pb.NewTopicServiceClient(connection)
	data := pb.NewDataServiceClient(connection)
	groups := pb.NewGroupServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	_, err = topics.CreateTopic(ctx, &pb.CreateTopicRequest{Name: topic.Name, Partitions: 4})
	if status.Code(err) != codes.AlreadyExists {
		check(err)
	}
	produce(ctx, data)

	positions, rewindEpoch := committed(ctx, groups)
	fmt.Println("read", read(ctx, data, positions))
	commit(ctx, groups, positions, rewindEpoch)

	_, err = groups.ResetOffsets(ctx, &pb.ResetOffsetsRequest{
		Group: group,
		To: &pb.ResetOffsetsRequest_Position{
			Position: &pb.OffsetSpec{Spec: &pb.OffsetSpec_Earliest{Earliest: true}}},
	})
	check(err)
	positions, _ = committed(ctx, groups)
	fmt.Println("read again", read(ctx, data, positions))
}

// produce sends plain records. Each gets a receipt, in the order of the request; a record that
// failed has an error there, and the others are kept all the same.
func produce(ctx context.Context, data pb.DataServiceClient) {
	var records []*pb.PlainRecord
	for n := range 100 {
		records = append(records, &pb.PlainRecord{
			Key: fmt.Appendf(nil, "key-%d", n), Value: fmt.Appendf(nil, "value-%d", n)})
	}
	answer, err := data.Produce(ctx, &pb.ProduceRequest{Topic: topic, Records: records})
	check(err)
	for _, receipt := range answer.Receipts {
		checkEntry(receipt.Error)
	}
}

// committed gives the next offset to read of each partition, 0 where nothing was committed yet, and
// the group's rewind epoch: a commit that carries an older one is refused as GROUP_REWOUND, since
// its positions are from before the rewind.
func committed(ctx context.Context, groups pb.GroupServiceClient) (map[uint32]int64, int64) {
	answer, err := groups.FetchOffsets(ctx, &pb.FetchOffsetsRequest{
		Group: group, Topics: []*pb.TopicPartitions{{Topic: topic}}})
	check(err)
	positions := map[uint32]int64{}
	for _, each := range answer.Offsets {
		positions[each.Partition] = each.GetOffset() // absent: 0
	}
	return positions, answer.RewindEpoch
}

// read reads until nothing more comes, moves the positions on, and counts the records.
func read(ctx context.Context, data pb.DataServiceClient, positions map[uint32]int64) int {
	for count := 0; ; {
		request := &pb.FetchRequest{Topic: topic, MinBytes: 1, MaxWaitMs: 200}
		for partition, offset := range positions {
			request.Positions = append(request.Positions,
				&pb.FetchPosition{Partition: partition, Offset: offset})
		}
		answer, err := data.Fetch(ctx, request)
		check(err)
		before := count
		for _, result := range answer.Results {
			checkEntry(result.Error)
			count += len(result.Records)
			positions[result.Partition] = result.NextOffset // not the last record's offset + 1
		}
		if count == before {
			return count
		}
	}
}

func commit(ctx context.Context, groups pb.GroupServiceClient,
	positions map[uint32]int64, rewindEpoch int64) {
	request := &pb.CommitOffsetsRequest{
		Group: group, Topic: topic, ConsumerId: "worker-1", RewindEpoch: &rewindEpoch}
	for partition, offset := range positions {
		request.Offsets = append(request.Offsets,
			&pb.OffsetCommit{Partition: partition, Offset: offset})
	}
	answer, err := groups.CommitOffsets(ctx, request)
	check(err)
	for _, result := range answer.Results {
		checkEntry(result.Error)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func checkEntry(err *pb.Error) {
	if err != nil {
		log.Fatalf("%s: %s", err.Reason, err.Message)
	}
}
