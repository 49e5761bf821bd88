// A member of a group through sarama, run by groups_sarama.py:
//
//	sarama_member BROKERS TOPIC GROUP INSTANCE ASSIGNOR     INSTANCE "-": a dynamic member
//
// Says what members/confluent_member.py says.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/IBM/sarama"
)

// Between two commits of a partition.
const (
	mostAtOnce = 500
	gather     = 20 * time.Millisecond
)

var strategies = map[string]sarama.BalanceStrategy{
	"range":      sarama.NewBalanceStrategyRange(),
	"roundrobin": sarama.NewBalanceStrategyRoundRobin(),
	"sticky":     sarama.NewBalanceStrategySticky(),
}

// The library calls it once for each partition that it has, all at the same time.
type member struct {
	topic string
	lock  sync.Mutex // lines stay whole, and an older commit does not overtake a newer one
	out   *bufio.Writer
}

func (m *member) say(words ...any) {
	m.lock.Lock()
	defer m.lock.Unlock()
	fmt.Fprintln(m.out, words...)
	m.out.Flush()
}

func (m *member) sayPartitions(what string, session sarama.ConsumerGroupSession) error {
	partitions := session.Claims()[m.topic]
	sort.Slice(partitions, func(a, b int) bool { return partitions[a] < partitions[b] })
	words := []any{what}
	for _, partition := range partitions {
		words = append(words, partition)
	}
	m.say(words...)
	return nil
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	return m.sayPartitions("assigned", session)
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	return m.sayPartitions("revoked", session)
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			m.process(session, withMore(claim, message))
		case <-session.Context().Done():
			return nil
		}
	}
}

// The record, and those that come right behind it.
func withMore(claim sarama.ConsumerGroupClaim, message *sarama.ConsumerMessage) []*sarama.ConsumerMessage {
	messages := []*sarama.ConsumerMessage{message}
	late := time.After(gather)
	for len(messages) < mostAtOnce {
		select {
		case more, open := <-claim.Messages():
			if !open {
				return messages
			}
			messages = append(messages, more)
		case <-late:
			return messages
		}
	}
	return messages
}

func (m *member) process(session sarama.ConsumerGroupSession, messages []*sarama.ConsumerMessage) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, message := range messages {
		fmt.Fprintln(m.out, message.Partition, message.Offset, string(message.Value))
		session.MarkMessage(message, "")
	}
	m.out.Flush()
	session.Commit()
}

func settings(instance, assignor string) *sarama.Config {
	config := sarama.NewConfig()
	config.ClientID = "tests"
	config.Version = sarama.MaxVersion
	config.Metadata.RefreshFrequency = 2 * time.Second
	config.Consumer.MaxWaitTime = 50 * time.Millisecond // a commit waits behind a Fetch, on the same connection
	config.Consumer.Return.Errors = true
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.Group.Rebalance.Timeout = 20 * time.Second
	config.Consumer.Group.Rebalance.Retry.Backoff = 200 * time.Millisecond // its own: four times after two seconds
	config.Consumer.Group.Rebalance.Retry.Max = 50
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategies[assignor]}
	if instance != "-" {
		config.Consumer.Group.InstanceId = instance
	}
	return config
}

func main() {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	m := &member{topic: os.Args[2], out: bufio.NewWriter(os.Stdout)}
	group, err := sarama.NewConsumerGroup([]string{os.Args[1]}, os.Args[3], settings(os.Args[4], os.Args[5]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for err := range group.Errors() {
			m.say("error", err)
		}
	}()
	for stop.Err() == nil { // it returns at each rebalance
		if err := group.Consume(stop, []string{m.topic}, m); err != nil {
			m.say("error", err)
			time.Sleep(100 * time.Millisecond)
		}
	}
	if err := group.Close(); err != nil {
		m.say("error", err)
	}
}
