import jakarta.activation.DataHandler;
import jakarta.mail.Authenticator;
import jakarta.mail.Message;
import jakarta.mail.PasswordAuthentication;
import jakarta.mail.Session;
import jakarta.mail.Transport;
import jakarta.mail.internet.InternetAddress;
import jakarta.mail.internet.MimeBodyPart;
import jakarta.mail.internet.MimeMessage;
import jakarta.mail.internet.MimeMultipart;
import jakarta.mail.util.ByteArrayDataSource;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Date;
import java.util.Properties;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;

/** Sends one mail with Jakarta Mail. */
public class Mail {
    public static void main(String[] args) throws Exception {
        Transport.send(compose(session()));
    }

    static Session session() throws Exception {
        String[] address = System.getenv("MAIL_ADDR").split(":");
        Properties p = new Properties();
        p.put("mail.smtp.host", address[0]);
        p.put("mail.smtp.port", address[1]);
        p.put("mail.smtp.auth", "true");
        p.put("mail.smtp.starttls.enable", "true");
        p.put("mail.smtp.starttls.required", "true");
        p.put("mail.smtp.ssl.checkserveridentity", "true");
        p.put("mail.smtp.ssl.socketFactory", trusting(Path.of(System.getenv("MAIL_CA"))));
        p.put("mail.smtp.connectiontimeout", "10000");
        p.put("mail.smtp.timeout", "60000");
        return Session.getInstance(p, new Authenticator() {
            @Override
            protected PasswordAuthentication getPasswordAuthentication() {
                return new PasswordAuthentication(System.getenv("MAIL_USER"), System.getenv("MAIL_PASSWORD"));
            }
        });
    }

    static SSLSocketFactory trusting(Path file) throws Exception {
        KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null, null);
        try (InputStream pem = Files.newInputStream(file)) {
            roots.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context.getSocketFactory();
    }

    static MimeMessage compose(Session session) throws Exception {
        MimeBodyPart text = new MimeBodyPart();
        text.setText("Your order of one café crème is on its way.\n...and thank you.\n", "UTF-8");
        MimeBodyPart html = new MimeBodyPart();
        html.setText("<p>Your order of one <b>café crème</b> is on its way.</p>\n", "UTF-8", "html");
        MimeBodyPart bodies = new MimeBodyPart();
        bodies.setContent(new MimeMultipart("alternative", text, html));
        MimeBodyPart bill = new MimeBodyPart();
        byte[] csv = "item,price\ncafé crème,3.20\n".getBytes(StandardCharsets.UTF_8);
        bill.setDataHandler(new DataHandler(new ByteArrayDataSource(csv, "text/csv")));
        bill.setFileName("bill.csv");

        MimeMessage message = new MimeMessage(session);
        message.setFrom(new InternetAddress("shop@example.org", "Shop"));
        message.setRecipient(Message.RecipientType.TO, new InternetAddress("customer@example.net", "Customer"));
        message.setRecipient(Message.RecipientType.CC, new InternetAddress("sales@example.org", "Sales"));
        message.setRecipient(Message.RecipientType.BCC, new InternetAddress("archive@example.org"));
        message.setSubject("Your order");
        message.setSentDate(new Date());
        message.setContent(new MimeMultipart(bodies, bill));
        return message;
    }
}
