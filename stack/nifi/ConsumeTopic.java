package meterlake;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.nifi.annotation.behavior.InputRequirement;
import org.apache.nifi.annotation.behavior.TriggerSerially;
import org.apache.nifi.annotation.documentation.CapabilityDescription;
import org.apache.nifi.annotation.lifecycle.OnStopped;
import org.apache.nifi.components.PropertyDescriptor;
import org.apache.nifi.components.Validator;
import org.apache.nifi.flowfile.FlowFile;
import org.apache.nifi.processor.AbstractProcessor;
import org.apache.nifi.processor.ProcessContext;
import org.apache.nifi.processor.ProcessSession;
import org.apache.nifi.processor.Relationship;
import org.apache.nifi.processor.exception.ProcessException;

/**
 * Messages of a Kafka topic, one flow file a partition and batch: JSON lines with the offset, the time, and key and
 * value in base64, for they may be any bytes. Offsets are committed when NiFi has the flow files on disk: a message may
 * be in two of them after NiFi was killed, and is never in none.
 */
@TriggerSerially
@InputRequirement(InputRequirement.Requirement.INPUT_FORBIDDEN)
@CapabilityDescription("Messages of a Kafka topic in batches, with their offsets in name and attributes.")
public class ConsumeTopic extends AbstractProcessor {
    private static final Duration POLL = Duration.ofMillis(200);

    static final PropertyDescriptor TOPIC = required("topic").build();
    static final PropertyDescriptor CLIENT = required("client").sensitive(true)
        .description("Options of Kafka's consumer, an option a line.").build();
    static final PropertyDescriptor RECORDS = required("most-records").build();
    static final PropertyDescriptor BYTES = required("most-bytes").build();
    static final PropertyDescriptor WAIT = required("longest-wait-ms").build();
    static final Relationship SUCCESS = new Relationship.Builder().name("success").build();

    private KafkaConsumer<byte[], byte[]> consumer;

    private static PropertyDescriptor.Builder required(String name) {
        return new PropertyDescriptor.Builder().name(name).required(true).addValidator(Validator.VALID);
    }

    @Override
    protected List<PropertyDescriptor> getSupportedPropertyDescriptors() {
        return List.of(TOPIC, CLIENT, RECORDS, BYTES, WAIT);
    }

    @Override
    public Set<Relationship> getRelationships() {
        return Set.of(SUCCESS);
    }

    @Override
    public void onTrigger(ProcessContext context, ProcessSession session) throws ProcessException {
        try {
            Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> batch = read(context);
            if (batch.isEmpty()) {
                context.yield();
                return;
            }
            Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
            batch.forEach((partition, records) -> ends.put(partition, hand(session, partition, records)));
            session.commitAsync(() -> commit(ends), error -> close());
        } catch (RuntimeException | IOException error) {
            close(); // what was read and not committed is read again
            throw new ProcessException(error.getMessage(), error);
        }
    }

    /** Reads until a batch has its size or its age; after a failure from the offsets that were committed. */
    private Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> read(ProcessContext context) throws IOException {
        String topic = context.getProperty(TOPIC).getValue();
        if (consumer == null) {
            Properties client = new Properties();
            client.load(new StringReader(context.getProperty(CLIENT).getValue()));
            consumer = new KafkaConsumer<>(client, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        }
        Set<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
            .map(info -> new TopicPartition(topic, info.partition())).collect(Collectors.toSet());
        if (partitions.isEmpty()) {
            throw new IOException("Kafka has no topic " + topic);
        }
        if (!partitions.equals(consumer.assignment())) {
            consumer.assign(partitions);
        }
        Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> batch = new HashMap<>();
        long until = System.nanoTime() + context.getProperty(WAIT).asLong() * 1_000_000;
        long records = 0;
        long bytes = 0;
        while (isScheduled() && System.nanoTime() < until && records < context.getProperty(RECORDS).asLong()
                && bytes < context.getProperty(BYTES).asLong()) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                batch.computeIfAbsent(new TopicPartition(topic, record.partition()), any -> new ArrayList<>())
                    .add(record);
                records++;
                bytes += Math.max(0, record.serializedKeySize()) + Math.max(0, record.serializedValueSize());
            }
        }
        return batch;
    }

    /** Makes a flow file of records; returns where their partition goes on. */
    private OffsetAndMetadata hand(
            ProcessSession session, TopicPartition partition, List<ConsumerRecord<byte[], byte[]>> records) {
        long first = records.get(0).offset();
        long end = records.get(records.size() - 1).offset() + 1;
        FlowFile file = session.write(session.create(), out -> write(new BufferedOutputStream(out, 1 << 16), records));
        Map<String, String> attributes = new HashMap<>();
        attributes.put("topic", partition.topic());
        attributes.put("partition", String.format("%05d", partition.partition()));
        attributes.put("first", Long.toString(first));
        attributes.put("end", Long.toString(end));
        attributes.put("records", Integer.toString(records.size()));
        attributes.put("filename", String.format(
            "%020d-%020d-%s.jsonl", first, end, UUID.randomUUID().toString().substring(0, 8)));
        file = session.putAllAttributes(file, attributes);
        session.getProvenanceReporter().receive(file, "kafka:" + partition.topic() + "/" + partition.partition());
        session.transfer(file, SUCCESS);
        return new OffsetAndMetadata(end);
    }

    private static void write(OutputStream out, List<ConsumerRecord<byte[], byte[]>> records) throws IOException {
        for (ConsumerRecord<byte[], byte[]> record : records) {
            String line = "{\"offset\":" + record.offset() + ",\"timestamp\":" + record.timestamp() + ",\"key\":"
                + base64(record.key()) + ",\"value\":" + base64(record.value()) + "}\n";
            out.write(line.getBytes(StandardCharsets.US_ASCII));
        }
        out.flush();
    }

    private static String base64(byte[] bytes) {
        return bytes == null ? "null" : '"' + Base64.getEncoder().encodeToString(bytes) + '"';
    }

    private void commit(Map<TopicPartition, OffsetAndMetadata> ends) {
        try {
            consumer.commitSync(ends);
        } catch (RuntimeException error) {
            getLogger().warn("Offsets were not committed; messages will come twice, and count once: {}", error);
            close();
        }
    }

    @OnStopped
    public void close() {
        if (consumer != null) {
            consumer.close();
            consumer = null;
        }
    }
}
