// A member of a next-generation group through franz-go, run by groups_franz.py:
//
//	franz_member BROKERS TOPIC GROUP INSTANCE ASSIGNOR     INSTANCE "-": a dynamic member
//
// Says each record as "PARTITION OFFSET VALUE", and "assigned ..." when the group has assigned. Commits what it has said.
// SIGTERM: leaves.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	// The library serves the protocol to those who ask for it by this name.
	asked := context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true)
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	balancer := kgo.CooperativeStickyBalancer() // uniform
	if os.Args[5] == "range" {
		balancer = kgo.RangeBalancer()
	}
	options := []kgo.Opt{
		kgo.WithContext(asked), kgo.SeedBrokers(os.Args[1]), kgo.ConsumeTopics(os.Args[2]),
		kgo.ConsumerGroup(os.Args[3]), kgo.Balancers(balancer), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			fmt.Println("assigned", partitions)
		}),
	}
	if os.Args[4] != "-" {
		options = append(options, kgo.InstanceID(os.Args[4]))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	for stop.Err() == nil {
		polled, done := context.WithTimeout(stop, 200*time.Millisecond)
		fetches := client.PollRecords(polled, 500)
		done()
		fetches.EachError(func(topic string, partition int32, err error) {
			if polled.Err() == nil {
				fmt.Fprintln(os.Stderr, topic, partition, err)
			}
		})
		records := fetches.Records()
		for _, record := range records {
			fmt.Fprintln(out, record.Partition, record.Offset, string(record.Value))
		}
		out.Flush()
		if len(records) > 0 {
			if err := client.CommitRecords(context.Background(), records...); err != nil {
				fmt.Println("error", err)
			}
		}
	}
	client.Close()
}
