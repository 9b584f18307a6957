/* Prints everybody on the site, message by message: subscriber [ENDPOINT]
 * Debian: apt-get install libzmq3-dev libcjson-dev; cc subscriber.c -o subscriber -lzmq -lcjson */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <zmq.h>

int main(int argc, char **argv) {
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
    if (zmq_connect(socket, argc > 1 ? argv[1] : "tcp://127.0.0.1:5591") != 0) return 2;
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "spoton/1/", 9);
    for (;;) {
        zmq_msg_t topic, payload;
        zmq_msg_init(&topic);
        zmq_msg_init(&payload);
        if (zmq_msg_recv(&topic, socket, 0) < 0 || zmq_msg_recv(&payload, socket, 0) < 0) return 1;
        cJSON *message = cJSON_ParseWithLength(zmq_msg_data(&payload), zmq_msg_size(&payload)), *person;
        cJSON_ArrayForEach(person, cJSON_GetObjectItem(message, "tracks")) {
            cJSON *x = cJSON_GetObjectItem(person, "x"), *y = cJSON_GetObjectItem(person, "y");
            printf("%.0f ", cJSON_GetNumberValue(cJSON_GetObjectItem(message, "seq")));
            printf("%.0f ", cJSON_GetNumberValue(cJSON_GetObjectItem(person, "id")));
            if (cJSON_IsNull(x)) printf("- - ");
            else printf("%.3f %.3f ", cJSON_GetNumberValue(x), cJSON_GetNumberValue(y));
            printf("%s\n", cJSON_GetStringValue(cJSON_GetObjectItem(person, "state")));
        }
        fflush(stdout);
        cJSON_Delete(message);
        zmq_msg_close(&topic);
        zmq_msg_close(&payload);
    }
}
