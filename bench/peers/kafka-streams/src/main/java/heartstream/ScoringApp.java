package heartstream;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/**
 * ScoringApp THREADS at_least_once | exactly_once_v2: scores with the risk alone, from topic to topic.
 * ScoringApp lines risk: the score of each line of standard input, empty for a record that is not valid.
 *
 * Reads the worker's environment variables; SIGTERM ends it. Serves a logistic regression for UCI's built-in feature
 * table, and records that are all valid: anything else ends it.
 */
final class ScoringApp {
    private static final class Scoring implements Processor<byte[], byte[], byte[], byte[]> {
        private final Scorer scorer;
        private ProcessorContext<byte[], byte[]> context;

        Scoring(Model model) {
            scorer = new Scorer(model);
        }

        @Override public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
        }

        @Override public void process(Record<byte[], byte[]> record) {
            RecordMetadata source = context.recordMetadata().orElseThrow();
            byte[] score = scorer.score(record.value(), source.topic(), source.partition(), source.offset());
            if (score == null) throw new IllegalArgumentException("the benchmark's records can all be scored");
            context.forward(record.withValue(score));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Model model = new Model(Path.of(variable("MODEL__PATH")), variable("MODEL__NAME"));
        if (arguments[0].equals("lines")) lines(new Scorer(model));
        else stream(model, options(arguments[0], arguments[1]));
    }

    private static String variable(String name) {
        String value = System.getenv("HEARTSTREAM_" + name);
        if (value == null) throw new IllegalArgumentException("HEARTSTREAM_" + name + " is not set");
        return value;
    }

    private static Properties options(String threads, String guarantee) {
        Properties options = new Properties();
        options.put("application.id", variable("WORKER__GROUP_ID"));
        options.put("bootstrap.servers", variable("KAFKA__BOOTSTRAP_SERVERS"));
        options.put("num.stream.threads", threads);
        options.put("processing.guarantee", guarantee);
        options.put("default.key.serde", Serdes.ByteArray().getClass());
        options.put("default.value.serde", Serdes.ByteArray().getClass());
        options.put("state.dir", Path.of("kafka-streams").toAbsolutePath().toString());
        options.put("producer.acks", "all");
        options.put("producer.enable.idempotence", "true");
        options.put("producer.compression.type", "lz4");
        options.put("producer.linger.ms", System.getenv().getOrDefault("HEARTSTREAM_KAFKA__OPTIONS__LINGER_MS", "5"));
        options.put("consumer.auto.offset.reset", "earliest");
        // As the other contenders; Kafka Streams' own default is 30 s, and 100 ms for exactly once, which stays.
        if (guarantee.equals("at_least_once")) options.put("commit.interval.ms", "1000");
        return options;
    }

    private static void stream(Model model, Properties options) throws InterruptedException {
        Topology topology = new Topology();
        topology.addSource("patients", variable("TOPICS__PATIENTS"));
        topology.addProcessor("scoring", () -> new Scoring(model), "patients");
        topology.addSink("scores", variable("TOPICS__SCORES"), "scoring");
        KafkaStreams streams = new KafkaStreams(topology, options);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(failure -> {
            failure.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) ended.countDown();
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
        streams.start();
        ended.await();
    }

    private static void lines(Scorer scorer) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream(), all = new ByteArrayOutputStream();
        long offset = 0;
        for (byte each : System.in.readAllBytes()) {
            if (each != '\n') {
                line.write(each);
                continue;
            }
            byte[] score = scorer.score(line.toByteArray(), "patients", 0, offset++);
            if (score != null) all.write(score);
            all.write('\n');
            line.reset();
        }
        all.writeTo(System.out);
        System.out.flush();
    }
}
